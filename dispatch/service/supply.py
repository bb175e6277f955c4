"""The supply of a round: drivers' last positions from Redis joined with what SQL says they are doing."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dispatch.matching.reasons import Reason
from dispatch.model import DispatchParams, SupplySnapshot
from dispatch.ports import Carrying, FreeDriver, Positions
from dispatch.rules.supply import aboard_considered, may_be_asked
from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from geo.roads.road_places import RoadPlaces, places_on_roads
from geo.roads.road_ways import times_between
from kernel.points import Place
from kernel.supply import BoolArray, is_fresh, is_idle

#: No car in a city comes nearer to its dropoff by more metres a second: the straight line spares most road searches.
CROW_MPS_MAX = 20.0


def free_supply(
    positions: Positions, free: Mapping[str, FreeDriver], graph: RoadGraph, params: DispatchParams, now_s: float
) -> SupplySnapshot:
    """The idle drivers, snapped to the road graph, sorted by id.

    `free` are the drivers on shift without a live ride or offer.
    """
    return supply_snapshot(positions, free, (), graph, params, now_s, n_waiting=0)


def supply_snapshot(
    positions: Positions,
    free: Mapping[str, FreeDriver],
    carrying: Sequence[Carrying],
    graph: RoadGraph,
    params: DispatchParams,
    now_s: float,
    *,
    n_waiting: int,
) -> SupplySnapshot:
    """The drivers whom a round of `n_waiting` requests may ask, by the rules of `dispatch.rules.supply`.

    `carrying` are the drivers with a rider aboard and neither an offer nor a ride after it; their
    dropoffs are on the graph's map.
    """
    trip_of = {trip.driver_id: trip for trip in carrying}
    free_here, aboard_here = (_is_in(positions, drivers) for drivers in (free, trip_of))
    fresh = is_fresh(positions.t_s, now_s, params.stale_after_s)
    idle = is_idle(free_here, fresh)
    considered = aboard_considered(
        aboard_here & ~free_here, fresh, int(np.count_nonzero(idle)), n_waiting, params.chain_within_s
    )
    dropoffs = {driver_id: trip.dropoff for driver_id, trip in trip_of.items()}
    places, free_in_s = _free_at(positions, idle, considered, dropoffs, graph, params.chain_within_s)
    rows = np.flatnonzero(may_be_asked(idle, considered, free_in_s, params.chain_within_s))
    driver_id = tuple(positions.driver_id[row] for row in rows)
    known = [free.get(name) or trip_of[name] for name in driver_id]
    dropoff_s = (now_s + free_in_s[rows]).tolist()
    idle_since_s = [
        free[name].idle_since_s if name in free else at_s for name, at_s in zip(driver_id, dropoff_s, strict=True)
    ]
    rating, rating_count = _ratings(known)
    return SupplySnapshot(
        now_s,
        driver_id,
        places.node[rows],
        np.array([driver.seats for driver in known], np.int64),
        rating=rating,
        rating_count=rating_count,
        idle_since_s=np.array(idle_since_s, np.float64),
        free_in_s=free_in_s[rows],
        edge=places.edge[rows],
        share=places.share[rows],
    )


def _is_in(positions: Positions, driver_ids: Container[str]) -> BoolArray:
    """Whose position (n,) belongs to one of these drivers."""
    return np.fromiter((name in driver_ids for name in positions.driver_id), np.bool_, len(positions.driver_id))


def _free_at(
    positions: Positions,
    idle: BoolArray,
    considered: BoolArray,
    dropoffs: Mapping[str, Place],
    graph: RoadGraph,
    chain_within_s: float,
) -> tuple[RoadPlaces, NDArray[np.float64]]:
    """Places (n,) from which drivers set out when free, node 0 for the others, and seconds (n,) until then."""
    free_in_s = np.zeros(len(idle))
    at, aboard = np.flatnonzero(idle), np.flatnonzero(considered)
    ends = [dropoffs[positions.driver_id[row]] for row in aboard]
    here = places_on_roads(graph, positions.lat_deg[at], positions.lng_deg[at])
    there = places_on_roads(graph, [end.lat_deg for end in ends], [end.lng_deg for end in ends])
    free_in_s[aboard] = _until_dropoff_s(positions, aboard, there, ends, graph, chain_within_s)
    row = np.full(len(idle), len(at) + len(aboard), np.int64)
    row[at], row[aboard] = np.arange(len(at)), np.arange(len(at), len(at) + len(aboard))
    return RoadPlaces.together([here, there, RoadPlaces.at_nodes(0)])[row], free_in_s


def _ratings(drivers: Sequence[FreeDriver | Carrying]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean rating in stars (n,), NaN without any, and number of ratings (n,)."""
    total = np.array([driver.stars_sum for driver in drivers], np.float64)
    count = np.array([driver.stars_count for driver in drivers], np.int64)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0), count


def _until_dropoff_s(
    positions: Positions,
    rows: NDArray[np.int64],
    dropoffs: RoadPlaces,
    ends: Sequence[Place],
    graph: RoadGraph,
    limit_s: float,
) -> NDArray[np.float64]:
    """Seconds of road from each row's position to its dropoff; inf if it takes longer than the limit."""
    lat_deg, lng_deg = positions.lat_deg[rows], positions.lng_deg[rows]
    crow_m = great_circle_m(lat_deg, lng_deg, [end.lat_deg for end in ends], [end.lng_deg for end in ends])
    near = np.flatnonzero(crow_m <= CROW_MPS_MAX * limit_s)
    until_s = np.full(len(rows), np.inf)
    cars = places_on_roads(graph, lat_deg[near], lng_deg[near])
    until_s[near] = times_between(graph, cars, dropoffs[near], limit_s)
    return until_s


def unseen(positions: Positions, free: Mapping[str, FreeDriver], supply: SupplySnapshot) -> dict[Reason, int]:
    """How many drivers with a position in the region are not in the snapshot, by the reason."""
    n_free = sum(driver_id in free for driver_id in positions.driver_id)
    n_idle = sum(driver_id in free for driver_id in supply.driver_id)
    n_aboard = len(supply) - n_idle
    return {
        Reason.BUSY_OR_OFF_SHIFT: len(positions.driver_id) - n_free - n_aboard,
        Reason.STALE_POSITION: n_free - n_idle,
    }
