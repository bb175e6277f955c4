"""One plan of advice for the idle drivers of a region: who had better wait where. Pure; the caller brings the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray
from geo.city import City
from geo.zones import Zones
from pricing.model.advice import DriverAdvice, IdleDrivers, RepositioningParams
from pricing.rules.cells import cell_indices
from pricing.rules.forecast import requests_ahead
from pricing.rules.repositioning import FlowSolver, plan

#: The region's ratio of seen to usual demand weighs in each zone as much as so many requests.
PRIOR_REQUESTS = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Standing and new advice by driver, the demand that it expects, and which drivers are advised anew."""

    advice: Mapping[str, DriverAdvice]
    #: Requests (z,) expected in the next quarter of an hour.
    forecast: FloatArray
    new_ids: tuple[str, ...]


class AdvicePlanner:
    """Decides where idle drivers of one city had better wait."""

    def __init__(
        self,
        city: City,
        zones: Zones,
        params: RepositioningParams,
        solve: FlowSolver,
        half_life_s: float,
        profile: FloatArray | None = None,
    ) -> None:
        """`profile` (96, z) is the usual demand by quarter of the day and zone; without it the present goes on."""
        if profile is not None and profile.shape[1] != len(zones):
            raise ValueError(f"the demand profile has {profile.shape[1]} zones, the city {len(zones)}: learn it again")
        self._city = city
        self._zones = zones
        self._params = params
        self._solve = solve
        self._half_life_s = half_life_s
        self._profile = profile
        self._zone_of_cell = np.full(len(city.surge_cells), -1, np.int64)
        self._zone_of_cell[zones.surge_index] = np.arange(len(zones))

    def plan(
        self,
        idle: IdleDrivers,
        requests: npt.ArrayLike,
        standing: Mapping[str, DriverAdvice],
        now_s: float,
        day_s: float,
        generator: np.random.Generator,
    ) -> Plan:
        """Return the advice of now.

        ``requests`` (c,) are decayed counts by surge cell, ``day_s`` seconds since local midnight. ``standing`` is the
        advice of the plan before: an idle driver keeps it until it expires, and counts where it leads.
        """
        seen = np.asarray(requests, np.float64)[self._zones.surge_index]
        forecast = requests_ahead(seen, self._half_life_s, self._profile, day_s, PRIOR_REQUESTS)
        kept = {
            driver_id: standing[driver_id]
            for driver_id in idle.driver_id
            if driver_id in standing and standing[driver_id].expires_s > now_s
        }
        zone = self._zones_of(idle, kept)
        inside = zone[zone >= 0]
        moves = plan(
            np.bincount(inside, minlength=len(self._zones)), forecast, self._zones.eta_s, self._solve, self._params
        )
        new: dict[str, DriverAdvice] = {}
        for row in generator.permutation(len(idle.driver_id)):
            driver_id = idle.driver_id[row]
            if zone[row] < 0 or driver_id in kept:
                continue
            there = moves.take(int(zone[row]), lambda count: generator.gumbel(size=count))
            if there != zone[row]:
                new[driver_id] = self._advice(int(zone[row]), there, now_s)
        return Plan({**kept, **new}, forecast, tuple(sorted(new)))

    def _zones_of(self, idle: IdleDrivers, kept: Mapping[str, DriverAdvice]) -> IntArray:
        """The zone (n,) of each driver, or of where the advice that is kept leads; -1 outside all zones."""
        lat_deg, lng_deg = np.array(idle.lat_deg, np.float64), np.array(idle.lng_deg, np.float64)
        for row, driver_id in enumerate(idle.driver_id):
            if driver_id in kept:
                lat_deg[row], lng_deg[row] = kept[driver_id].lat_deg, kept[driver_id].lng_deg
        cell = cell_indices(self._city.surge_cells, self._city.region.surge_resolution, lat_deg, lng_deg)
        return np.where(cell >= 0, self._zone_of_cell[cell], -1)

    def _advice(self, here: int, there: int, now_s: float) -> DriverAdvice:
        node, graph = int(self._zones.middle[there]), self._city.graph
        return DriverAdvice(
            float(graph.lat_deg[node]),
            float(graph.lng_deg[node]),
            float(self._zones.eta_s[here, there]),
            now_s,
            now_s + self._params.valid_s,
        )
