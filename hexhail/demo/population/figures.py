"""Counters of the population, from the riders' and drivers' point of view."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np


class PopulationFigures(msgspec.Struct):
    """Counts since the start; durations in city seconds."""

    riders_appeared: int = 0
    #: Riders who did not start because too many were active in this process.
    riders_turned_away: int = 0
    quotes: int = 0
    quotes_refused: int = 0
    left_for_price: int = 0
    requests: int = 0
    requests_refused: int = 0
    assignments: int = 0
    picked_up: int = 0
    completed: int = 0
    cancelled_by_rider: int = 0
    cancelled_by_driver: int = 0
    cancelled_otherwise: int = 0
    expired: int = 0
    riders_live: int = 0

    drivers_online: int = 0
    offers: int = 0
    accepted: int = 0
    accepted_in_vain: int = 0
    declined: int = 0
    silent: int = 0
    #: Rides that were no longer the driver's when a step was reported or after a reconnection.
    rides_gone: int = 0
    pings_sent: int = 0
    #: Advice on where to wait that reached a driver's phone, and how much of it was followed.
    advice: int = 0
    advice_followed: int = 0

    http_requests: int = 0
    #: By status, or by the kind of failure where there was no answer.
    http_errors: Counter[str] = msgspec.field(default_factory=Counter)
    #: By kind, of WebSockets that could not be opened or broke.
    stream_errors: Counter[str] = msgspec.field(default_factory=Counter)
    #: By reason, of streams that were told to begin anew.
    stream_resets: Counter[str] = msgspec.field(default_factory=Counter)
    #: By code, of WebSocket frames that were refused.
    frame_errors: Counter[str] = msgspec.field(default_factory=Counter)
    reconnects: int = 0
    #: People whose simulation broke: an error of ours, logged with its traceback.
    failures: int = 0
    #: From the request to the pickup, of every rider picked up.
    pickup_waits_s: list[float] = msgspec.field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return all counts, the waits as `pickup_wait_s` with mean, p50 and p95 (null while there are none)."""
        counts = {name: getattr(self, name) for name in self.__struct_fields__ if name != "pickup_waits_s"}
        waits = self.pickup_waits_s
        if not waits:
            return {**counts, "pickup_wait_s": {"mean": None, "p50": None, "p95": None}}
        p50, p95 = np.percentile(waits, (50.0, 95.0))
        wait = {"mean": round(float(np.mean(waits)), 1), "p50": round(float(p50), 1), "p95": round(float(p95), 1)}
        return {**counts, "pickup_wait_s": wait}

    def write(self, path: Path) -> None:
        """Write the summary as JSON; a reader sees the old file or the new one, never half of it."""
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.write_bytes(msgspec.json.encode(self.summary()))
        unfinished.replace(path)
