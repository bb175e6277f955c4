"""Names and counts what a reader leaves out because it cannot be read, so that one bad item stops nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class LeftOut:
    """Logs each item of one kind when it is first left out, and counts it; one that is mended may be told again."""

    def __init__(self, kind: str, counter: Any = None) -> None:
        """``counter`` is a Prometheus counter with the labels region and kind, None to log alone."""
        self._kind = kind
        self._counter = counter
        self._told: dict[str, set[str]] = {}

    def tell(self, region_id: str, reason_of: Mapping[str, str]) -> None:
        """Say what a whole reading of a region left out: the reason of each item by its name."""
        new = reason_of.keys() - self._told.get(region_id, set())
        self._told[region_id] = set(reason_of)
        for name in sorted(new):
            log.error("left_out", kind=self._kind, region_id=region_id, name=name, reason=reason_of[name])
        if new and self._counter is not None:
            self._counter.labels(region_id, self._kind).inc(len(new))
