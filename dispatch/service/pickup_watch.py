"""Finds the rides whose driver will not come, so that their riders get another: the maths is `PickupWatch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dispatch.commands import TakeBack
from dispatch.model import DispatchParams, Ride, RideState
from dispatch.ports import Positions
from dispatch.rules.pickup_watch import PickupWatch, Sighting
from dispatch.rules.places import on_map
from geo.distances import great_circle_m
from geo.places import Places
from geo.roads.road_places import places_on_roads
from geo.roads.road_ways import times_between

#: City seconds between two looks: well below the silence that is waited for, and a small part of a round's work.
LOOK_EVERY_S = 5.0
#: A car this near to the pickup is there. By its error a position can lie just behind the pickup on a one-way street,
#: from where the way leads round the block.
AT_PICKUP_M = 50.0


class DriverWatch:
    """Watches the drivers of one region on their way to pickups; what it remembers may be lost without harm."""

    def __init__(self, places: Places, params: DispatchParams) -> None:
        self._places = places
        self._graph = places.graph
        self._watch = PickupWatch(params)
        self._next_look_s = float("-inf")

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to look again; counts as a look if it is."""
        if now_s < self._next_look_s:
            return False
        self._next_look_s = now_s + LOOK_EVERY_S
        return True

    def look(self, live_rides: Sequence[Ride], positions: Positions, now_s: float) -> list[TakeBack]:
        """The rides to take back from drivers who are silent or come no nearer, given all rides that have a driver."""
        carrying = {ride.driver_id for ride in live_rides if ride.state is RideState.ON_TRIP}
        on_their_way = [ride for ride in live_rides if ride.state is RideState.ASSIGNED]
        sightings = self._sightings(on_their_way, positions)
        for ride in on_their_way:
            if ride.driver_id in carrying and ride.ride_id in sightings:
                sightings[ride.ride_id] = replace(sightings[ride.ride_id], remaining_s=None)
        newest_s = float(positions.t_s.max()) if len(positions.driver_id) else None
        return [
            TakeBack(ride.ride_id, ride.driver_id or "", reason)
            for ride, reason in self._watch.look(on_their_way, sightings, newest_s, now_s)
        ]

    def _sightings(self, rides: Sequence[Ride], positions: Positions) -> dict[str, Sighting]:
        """Of each driver whose position is known: when it was taken, and how far the pickup was from there.

        Of a driver whose pickup is near no road of this map only the silence counts.
        """
        row_of = {driver_id: row for row, driver_id in enumerate(positions.driver_id)}
        placed = on_map([ride for ride in rides if ride.driver_id in row_of], self._places)
        lost = {
            ride.ride_id: Sighting(float(positions.t_s[row_of[ride.driver_id or ""]]), None) for ride in placed.off_map
        }
        return lost | self._measured([(ride, row_of[ride.driver_id or ""]) for ride in placed.rides], positions)

    def _measured(self, seen: Sequence[tuple[Ride, int]], positions: Positions) -> dict[str, Sighting]:
        """The sightings of rides on this map, each with the row of its driver's position."""
        rows = np.array([row for _, row in seen], np.int64)
        lat_deg, lng_deg = positions.lat_deg[rows], positions.lng_deg[rows]
        pickups = [ride.pickup for ride, _ in seen]
        crow_m = great_circle_m(lat_deg, lng_deg, [p.lat_deg for p in pickups], [p.lng_deg for p in pickups])
        cars = places_on_roads(self._graph, lat_deg, lng_deg)
        ends = places_on_roads(self._graph, [p.lat_deg for p in pickups], [p.lng_deg for p in pickups])
        eta_s = np.where(crow_m <= AT_PICKUP_M, 0.0, times_between(self._graph, cars, ends))
        return {
            ride.ride_id: Sighting(float(positions.t_s[row]), float(remaining_s))
            for (ride, row), remaining_s in zip(seen, eta_s, strict=True)
        }
