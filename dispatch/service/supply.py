"""Who may be asked in a round, from where drivers were last seen and what SQL says they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dispatch.matching.reasons import Reason
from dispatch.model import DispatchParams, SupplySnapshot
from dispatch.ports import Carrying, FreeDriver, Positions
from dispatch.rules.next_rides import asks_those_aboard
from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import between

#: Nobody gets nearer to a dropoff than this in a second, as the crow flies, in a city: spares most of the searches.
CROW_MPS_MAX = 20.0


def free_supply(
    positions: Positions, free: Mapping[str, FreeDriver], graph: RoadGraph, params: DispatchParams, now_s: float
) -> SupplySnapshot:
    """The idle drivers whose position is fresh, snapped to the road graph, sorted by id.

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
    """As `free_supply`, and those of `carrying` who will drop their rider off within `params.chain_within_s`.

    `n_waiting` requests are there to be matched: while they outnumber the idle, nobody is asked before a dropoff.
    """
    fresh = now_s - positions.t_s <= params.stale_after_s
    is_idle = np.array([driver_id in free for driver_id in positions.driver_id], bool) & fresh
    are_asked = asks_those_aboard(int(np.count_nonzero(is_idle)), n_waiting)
    trip_of = {trip.driver_id: trip for trip in carrying} if are_asked else {}
    is_aboard = np.array([driver_id in trip_of for driver_id in positions.driver_id], bool) & fresh & ~is_idle
    node = np.zeros(len(is_idle), np.int64)
    free_in_s = np.zeros(len(is_idle))
    idle = np.flatnonzero(is_idle)
    node[idle], _ = graph.snap(positions.lat_deg[idle], positions.lng_deg[idle])
    aboard = np.flatnonzero(is_aboard)
    dropoff = np.array([trip_of[positions.driver_id[row]].dropoff_node for row in aboard], np.int64)
    node[aboard] = dropoff
    free_in_s[aboard] = _until_dropoff_s(positions, aboard, dropoff, graph, params.chain_within_s)
    rows = np.flatnonzero(is_idle | (is_aboard & (free_in_s <= params.chain_within_s)))
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
        node[rows],
        np.array([driver.seats for driver in known], np.int64),
        rating=rating,
        rating_count=rating_count,
        idle_since_s=np.array(idle_since_s, np.float64),
        free_in_s=free_in_s[rows],
    )


def _ratings(drivers: Sequence[FreeDriver | Carrying]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean rating in stars (n,), NaN without any, and number of ratings (n,)."""
    total = np.array([driver.stars_sum for driver in drivers], np.float64)
    count = np.array([driver.stars_count for driver in drivers], np.int64)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0), count


def _until_dropoff_s(
    positions: Positions, rows: NDArray[np.int64], dropoff: NDArray[np.int64], graph: RoadGraph, limit_s: float
) -> NDArray[np.float64]:
    """Seconds of road from each row's position to its dropoff; inf if it takes longer than the limit."""
    lat_deg, lng_deg = positions.lat_deg[rows], positions.lng_deg[rows]
    crow_m = great_circle_m(lat_deg, lng_deg, graph.lat_deg[dropoff], graph.lng_deg[dropoff])
    near = np.flatnonzero(crow_m <= CROW_MPS_MAX * limit_s)
    node, _ = graph.snap(lat_deg[near], lng_deg[near])
    until_s = np.full(len(rows), np.inf)
    until_s[near] = between(graph, np.asarray(node, np.int64), dropoff[near], limit_s)
    return until_s


def unseen(positions: Positions, free: Mapping[str, FreeDriver], supply: SupplySnapshot) -> dict[Reason, int]:
    """Drivers in the region's cells who are not in the snapshot, by the gate at which they stayed."""
    n_free = sum(driver_id in free for driver_id in positions.driver_id)
    n_idle = sum(driver_id in free for driver_id in supply.driver_id)
    n_aboard = len(supply) - n_idle
    return {
        Reason.BUSY_OR_OFF_SHIFT: len(positions.driver_id) - n_free - n_aboard,
        Reason.STALE_POSITION: n_free - n_idle,
    }
