"""Simulated position tracking: noisy pings of drivers, judged by the shipped ping filter in virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dispatch.ports import Positions
from geo.arrays import FloatArray, IntArray
from geo.distances import EARTH_RADIUS_M, lng_change_deg, within_globe_deg
from location_ingest.column_engine import ColumnEngine
from location_ingest.columns import ROW_NUMBERS, PingColumns
from location_ingest.kernels import REASONS
from location_ingest.model import IngestParams
from simulator.service.gps import ACCURACY_PER_DEVIATION, GpsParams, Receivers

_M_PER_DEG = math.radians(EARTH_RADIUS_M)


class Tracking:
    """The last accepted position of each of n drivers.

    Attributes:
        lat_deg, lng_deg: (n,) degrees; NaN if unknown.
        last_ping_s: (n,) when; -inf for never.
    """

    def __init__(
        self,
        params: GpsParams,
        ingest: IngestParams,
        region_id: str,
        driver_ids: Sequence[str],
        seed: int,
    ) -> None:
        count = len(driver_ids)
        self.params = params
        self._region_id = region_id
        self._driver_ids = driver_ids
        self._receivers = Receivers(params, count, seed)
        self._filter = ColumnEngine(ingest)
        self.lat_deg: FloatArray = np.full(count, math.nan)
        self.lng_deg: FloatArray = np.full(count, math.nan)
        self.last_ping_s: FloatArray = np.full(count, -math.inf)
        #: By verdict, 0 for believed; and pings that were never sent, for want of a fix.
        self._verdicts = np.zeros(1 + len(REASONS), np.int64)
        self._without_fix = 0
        self._error_sum_m, self._errors = 0.0, 0

    def take(
        self, row: IntArray, lat_deg: FloatArray, lng_deg: FloatArray, speed_mps: FloatArray, now_s: float
    ) -> None:
        """Send the pings of drivers `row` (m,) from their true positions (m,); call it every `ping_s`."""
        fixes = self._receivers.next()
        sent = fixes.has_fix[row]
        self._without_fix += int(row.size - sent.sum())
        at, lat, lng = row[sent], lat_deg[sent], lng_deg[sent]
        values = np.full((at.size, ROW_NUMBERS), math.nan)
        values[:, 0] = now_s
        values[:, 1] = lat + fixes.north_m[at] / _M_PER_DEG
        values[:, 2] = within_globe_deg(lng + fixes.east_m[at] / (_M_PER_DEG * np.cos(np.radians(lat))))
        values[:, 4] = speed_mps[sent]
        values[:, 5] = ACCURACY_PER_DEVIATION * self.params.noise_m
        self._judge(at, values, now_s)
        self._measure(row, lat_deg, lng_deg)

    def positions(self) -> Positions:
        """The positions of all drivers who have one, as the cells of the live service hold them."""
        row = np.flatnonzero(np.isfinite(self.last_ping_s))
        return Positions(
            tuple([self._driver_ids[at] for at in row.tolist()]),
            self.lat_deg[row],
            self.lng_deg[row],
            np.full(row.size, math.nan),
            self.last_ping_s[row],
        )

    def figures(self) -> dict[str, Any]:
        """Counts of pings by verdict, and the mean distance between tracked and true positions."""
        rejected = {reason.value: int(n) for reason, n in zip(REASONS, self._verdicts[1:], strict=True) if n}
        return {
            "noise_m": self.params.noise_m,
            "gap_share": self.params.gap_share,
            "pings_accepted": int(self._verdicts[0]),
            "pings_rejected": rejected,
            "pings_without_fix": self._without_fix,
            "error_m_mean": round(self._error_sum_m / self._errors, 2) if self._errors else None,
        }

    def _judge(self, row: IntArray, values: FloatArray, now_s: float) -> None:
        if not row.size:
            return
        names = self._driver_ids
        pings = PingColumns(self._region_id, now_s, [names[at] for at in row.tolist()], values)
        verdict = self._filter.handle([pings], now_s).verdict
        self._verdicts += np.bincount(verdict, minlength=len(self._verdicts))
        is_believed = verdict == 0
        believed = row[is_believed]
        self.last_ping_s[believed] = now_s
        self.lat_deg[believed], self.lng_deg[believed] = values[is_believed, 1], values[is_believed, 2]

    def _measure(self, row: IntArray, lat_deg: FloatArray, lng_deg: FloatArray) -> None:
        is_known = np.isfinite(self.lat_deg[row])
        row, lat_deg, lng_deg = row[is_known], lat_deg[is_known], lng_deg[is_known]
        north = self.lat_deg[row] - lat_deg
        east = lng_change_deg(lng_deg, self.lng_deg[row]) * np.cos(np.radians(lat_deg))
        self._error_sum_m += float(np.hypot(north, east).sum()) * _M_PER_DEG
        self._errors += row.size
