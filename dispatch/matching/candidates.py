"""Candidate pairs: for each request the k drivers with the shortest pickup ETA who may serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dispatch.model import DispatchParams, Ride, SupplySnapshot
from geo.roads.graph import RoadGraph
from geo.roads.road_places import RoadPlaces, places_on_roads
from geo.roads.travel_times import nearest_by_road


class NearestByRoad(Protocol):
    """As `geo.roads.travel_times.nearest_by_road`."""

    def __call__(
        self,
        graph: RoadGraph,
        drivers: RoadPlaces,
        pickups: RoadPlaces,
        k: int,
        limit_s: float,
        delay_s: ArrayLike | None = None,
        /,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The k drivers with the shortest pickup ETA, (m, k), and those ETAs in seconds."""
        ...


#: By how much each refusal widens the reach of a ride, as a share of the usual reach, and the greatest reach: a rider
#: refused five times would rather wait twice as long than get no car.
REACH_STEP = 0.2
REACH_MAX = 2.0


def reach_s(ride: Ride, params: DispatchParams) -> float:
    """The longest pickup ETA at which a driver is asked for the ride: wider after each refusal."""
    return params.pickup_eta_s_max * min(REACH_MAX, 1.0 + REACH_STEP * len(ride.refused_by))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Feasible pairs as three arrays (e,), those of a request side by side, nearest first; and one array (m,)."""

    request: NDArray[np.int64]
    driver: NDArray[np.int64]
    #: Seconds to the pickup, with what is left of the present trip if there is one.
    pickup_eta_s: NDArray[np.float64]
    #: Whether every driver in reach is among the candidates; else the search ended with enough of them.
    saw_all_in_reach: NDArray[np.bool_]


def find_candidates(
    graph: RoadGraph,
    waiting: Sequence[Ride],
    supply: SupplySnapshot,
    params: DispatchParams,
    nearest: NearestByRoad = nearest_by_road,
) -> Candidates:
    """Drivers with room, in reach and not refused by the ride before, `params.candidates_per_request` for each request.

    `waiting` (m,) and `supply` (n,) must not be empty.
    """
    saw_all = np.ones(len(waiting), np.bool_)
    found = []
    drivers, pickups = supply.places, _pickups(graph, waiting)
    # Requests for which the same drivers have enough seats are searched together.
    ordered_seats = np.sort(supply.seats)
    too_small_for = np.searchsorted(ordered_seats, [ride.seats for ride in waiting]).tolist()
    alike: dict[tuple[int, int], list[int]] = {}
    for row, (too_small, ride) in enumerate(zip(too_small_for, waiting, strict=True)):
        alike.setdefault((too_small, len(ride.refused_by)), []).append(row)
    for (too_small, n_refused), members in sorted(alike.items()):
        rows = np.array(members, np.int64)
        if too_small < len(supply):
            columns = np.flatnonzero(supply.seats >= ordered_seats[too_small])
            cars = drivers[columns] if too_small else drivers
            # More by the number of refusals, so that k candidates are left without those drivers.
            k = params.candidates_per_request + n_refused
            reach = reach_s(waiting[members[0]], params) / supply.pace
            delay_s = supply.free_in_s[columns] / supply.pace
            index, graph_s = nearest(graph, cars, pickups[rows], k, reach, delay_s)
            eta_s = graph_s * supply.pace
            is_near = index >= 0
            saw_all[rows] = ~is_near.all(axis=1) | (columns.size <= k)
            found.append((np.repeat(rows, k)[is_near.ravel()], columns[index[is_near]], eta_s[is_near]))
    if not found:
        nobody = np.zeros(0, np.int64)
        return Candidates(nobody, nobody, np.zeros(0), saw_all)
    request, driver, pickup_eta_s = (np.concatenate(parts) for parts in zip(*found, strict=True))
    refused = _refused_pairs(waiting, supply)
    if refused.size:
        willing = ~np.isin(request * len(supply) + driver, refused)
        request, driver, pickup_eta_s = request[willing], driver[willing], pickup_eta_s[willing]
    return Candidates(request, driver, pickup_eta_s, saw_all)


def _pickups(graph: RoadGraph, waiting: Sequence[Ride]) -> RoadPlaces:
    """Where on roads the riders wait."""
    pickups = [ride.pickup for ride in waiting]
    return places_on_roads(graph, [place.lat_deg for place in pickups], [place.lng_deg for place in pickups])


def _refused_pairs(waiting: Sequence[Ride], supply: SupplySnapshot) -> NDArray[np.int64]:
    """Pairs whose driver refused the ride before, as row * n + column."""
    if not any(ride.refused_by for ride in waiting):
        return np.zeros(0, np.int64)
    column_of = {driver_id: column for column, driver_id in enumerate(supply.driver_id)}
    pairs = [
        row * len(supply) + column_of[driver_id]
        for row, ride in enumerate(waiting)
        for driver_id in ride.refused_by
        if driver_id in column_of
    ]
    return np.array(pairs, np.int64)
