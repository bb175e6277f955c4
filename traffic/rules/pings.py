"""Believed pings between two updates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geo.arrays import FloatArray, IntArray
from geo.learning.map_matching import MatchParams, spaced_pings

#: Pings that wait for an update at most: five minutes of 20,000 drivers, about 80 MB. Beyond it the oldest are dropped.
PINGS_MAX = 2_000_000


class _Numbers(dict[str, int]):
    """A number for each driver, in the order of their coming; about 0.1 kB each."""

    def __missing__(self, driver_id: str) -> int:
        number = self[driver_id] = len(self)
        return number


class PingBuffer:
    """Collects pings, and gives them back by driver and time, those that are worth matching."""

    def __init__(self, params: MatchParams) -> None:
        self._params = params
        self._numbers = _Numbers()
        self._chunks: list[NDArray[np.float64]] = []
        self._waiting = 0
        #: The last ping given of each driver, from which the next step begins: (k, 4).
        self._last = np.empty((0, 4))

    def add(self, driver_ids: Sequence[str], place: FloatArray) -> None:
        """Take pings in; ``place (n, 3)`` holds t_s, lat_deg and lng_deg of each."""
        number = np.fromiter(map(self._numbers.__getitem__, driver_ids), np.float64, len(driver_ids))
        self._chunks.append(np.column_stack([number, place]))
        self._waiting += len(driver_ids)
        while self._waiting > PINGS_MAX:
            self._waiting -= len(self._chunks.pop(0))

    def drain(self) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
        """Return (driver, t_s, lat_deg, lng_deg), (n,) each, and begin anew."""
        pings = np.concatenate([self._last, *self._chunks])
        self._chunks, self._waiting = [], 0
        pings = pings[np.lexsort((pings[:, 1], pings[:, 0]))]
        pings = pings[spaced_pings(pings[:, 0], pings[:, 1], pings[:, 2], pings[:, 3], self._params)]
        is_last = np.append(pings[1:, 0] != pings[:-1, 0], True)[: len(pings)]
        newest_s = pings[:, 1].max(initial=0.0)
        # Who was silent for longer begins a new track in any case.
        self._last = pings[is_last & (pings[:, 1] >= newest_s - self._params.gap_s_max)]
        number, t_s, lat_deg, lng_deg = pings.T
        return number.astype(np.int64), t_s.copy(), lat_deg.copy(), lng_deg.copy()
