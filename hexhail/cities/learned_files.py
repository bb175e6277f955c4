"""Which of a city's learned files a process uses, and which it sets aside because they were learned on other roads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from geo.roads.graph import LearnedElsewhere

log = structlog.get_logger(__name__)

T = TypeVar("T")


class LearnedFiles:
    """The learned files of one region in one process: usual traffic, position values, usual demand.

    A file that was learned on other roads than those of the map is set aside: the map counts, the process goes on
    without what was learned, and uses the file once it fits. A file that is missing or broken is still an error.
    """

    def __init__(self, region_id: str) -> None:
        self._region = region_id
        #: Name of each file that is set aside -> why.
        self.aside: dict[str, str] = {}
        self._before: dict[str, str] = {}

    def begin(self) -> None:
        """Forget what was set aside, before the files of a city are read anew."""
        self._before, self.aside = self.aside, {}

    def use(self, path: Path, load: Callable[[], T]) -> T | None:
        """Return what ``load`` reads from the file, None if it does not fit the map. Raises what else ``load`` does."""
        try:
            found = load()
        except LearnedElsewhere as error:
            if self._before.get(path.name) != str(error):
                log.warning("learned_file_set_aside", region_id=self._region, file=path.name, detail=str(error))
            self.aside[path.name] = str(error)
            return None
        if self._before.pop(path.name, None) is not None:
            log.info("learned_file_in_use", region_id=self._region, file=path.name)
        return found

    @property
    def note(self) -> str:
        """What is set aside, for people; empty if nothing is."""
        return "; ".join(f"{name} is set aside: {why}" for name, why in sorted(self.aside.items()))
