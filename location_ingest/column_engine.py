"""The vectorised ingestion engine: same decisions as the reference `IngestEngine`, at a hundredth of the cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from geo.arrays import FloatArray, IntArray
from location_ingest.columns import PingColumns, forget_unknown_inplace
from location_ingest.kernels import TRACK_NUMBERS, judge_pings_inplace, limits_of
from location_ingest.model import IngestParams

#: Initial capacity of a region, in drivers; it grows.
_ROOM_MIN = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Verdicts on pings of one region.

    Attributes:
        driver_ids, values: the pings, as in `PingColumns`; unknown speeds and headings are NaN.
        driver: (n,) the number of each ping's driver, below `drivers`.
        verdict: (n,) 0 for accepted, else 1 + the index of the reason in `Reason`.
        before: the tracks (n, 12) of these drivers as they were, for `ColumnEngine.restore`.
    """

    region_id: str
    driver_ids: list[str]
    values: FloatArray
    driver: IntArray
    drivers: int
    verdict: NDArray[np.int8]
    before: FloatArray


class _Numbers(dict[str, int]):
    """Assigns each driver a number, in order of first appearance."""

    def __missing__(self, driver_id: str) -> int:
        number = self[driver_id] = len(self)
        return number


class _Tracks:
    """The tracks of one region: a row each, found by the driver's number."""

    def __init__(self) -> None:
        self.number_of = _Numbers()
        self.track = _no_tracks(_ROOM_MIN)

    def make_room(self, wanted: int, received_s: float, params: IngestParams) -> None:
        """Make rows for `n` new drivers; drop tracks that are too old, then the longest silent ones above the limit."""
        if len(self.number_of) + wanted <= len(self.track):
            return
        t_s = self.track[: len(self.number_of), 0]
        kept = np.flatnonzero(t_s >= received_s - params.age_s_max - params.forget_after_s)
        kept_max = max(params.drivers_max - wanted, 0)
        if len(kept) > kept_max:
            # Free an eighth more than needed, so that this does not happen with every batch.
            kept_max -= kept_max // 8
            kept = np.sort(kept[np.argsort(t_s[kept], kind="stable")[len(kept) - kept_max :]])
        driver_ids = list(self.number_of)
        self.number_of = _Numbers((driver_ids[old], new) for new, old in enumerate(kept.tolist()))
        needed = len(kept) + wanted
        track = _no_tracks(max(needed, min(2 * needed, params.drivers_max), _ROOM_MIN))
        track[: len(kept)] = self.track[kept]
        self.track = track


class ColumnEngine:
    """Keeps the track of each driver and judges pings. Does no I/O; the caller passes the time.

    Decisions are those of `IngestEngine` as long as no region has more than `drivers_max` drivers; then it is again the
    longest silent that are forgotten, but some more at a time.
    """

    def __init__(self, params: IngestParams | None = None) -> None:
        self._params = params or IngestParams()
        self._limits = limits_of(self._params)
        self._regions: dict[str, _Tracks] = {}

    def __len__(self) -> int:
        """How many drivers have a number."""
        return sum(len(tracks.number_of) for tracks in self._regions.values())

    def handle(self, groups: Sequence[PingColumns], now_s: float) -> Verdicts:
        """Judge the pings of groups of one region, of which there is at least one, in their order."""
        region_id = groups[0].region_id
        tracks = self._regions.setdefault(region_id, _Tracks())
        driver_ids = list(chain.from_iterable(group.driver_ids for group in groups))
        values = np.concatenate([group.values for group in groups])
        # The edge does this too, but the log may hold pings that an older edge wrote.
        forget_unknown_inplace(values)
        # Judge by the time of receipt, so that a replay decides as the first run did; cap it at now.
        received = [min(group.received_s, now_s) for group in groups]
        tracks.make_room(len(driver_ids), max(received), self._params)
        number_of = tracks.number_of
        driver = np.fromiter(map(number_of.__getitem__, driver_ids), np.int64, len(driver_ids))
        before = tracks.track[driver]
        received_s = np.repeat(received, [len(group.driver_ids) for group in groups])
        verdict = judge_pings_inplace(tracks.track, driver, values, received_s, self._limits)
        return Verdicts(region_id, driver_ids, values, driver, len(number_of), verdict, before)

    def restore(self, verdicts: Verdicts) -> None:
        """Undo the region's last `handle`, so that the same pings can be judged again with the same result."""
        self._regions[verdicts.region_id].track[verdicts.driver] = verdicts.before


def _no_tracks(room: int) -> FloatArray:
    track = np.zeros((room, TRACK_NUMBERS))
    track[:, 0] = np.nan
    return track
