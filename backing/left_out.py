"""Logs and counts items that cannot be read and are skipped, so that one bad item does not stop the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class LeftOut:
    """Logs and counts each skipped item of one kind once, and again if it was readable in between."""

    def __init__(self, kind: str, counter: Any = None) -> None:
        """``counter`` is a Prometheus counter with the labels region and kind, None to log alone."""
        self._kind = kind
        self._counter = counter
        self._told: dict[str, set[str]] = {}

    def tell(self, region_id: str, reason_of: Mapping[str, str]) -> None:
        """Log the items that a full read of a region skipped: ``reason_of`` maps each item's name to the reason."""
        new = reason_of.keys() - self._told.get(region_id, set())
        self._told[region_id] = set(reason_of)
        for name in sorted(new):
            log.error("left_out", kind=self._kind, region_id=region_id, name=name, reason=reason_of[name])
        if new and self._counter is not None:
            self._counter.labels(region_id, self._kind).inc(len(new))
