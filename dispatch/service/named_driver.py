"""Whether a driver whom an operator names can come to a pickup, and when."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from dispatch.errors import CannotCome, DriverBusy
from dispatch.model import SupplySnapshot
from dispatch.ports import FreeDriver
from geo.roads.graph import RoadGraph
from geo.roads.road_places import places_on_roads
from geo.roads.road_ways import times_between
from kernel.points import Point


def pickup_eta_of(
    driver_id: str,
    pickup: Point,
    seats: int,
    free: Mapping[str, FreeDriver],
    supply: SupplySnapshot,
    graph: RoadGraph,
) -> float:
    """Return the seconds by road from a driver on shift to a pickup; `supply` holds the idle of the `free` drivers.

    Raises DriverBusy for a driver with a live ride or offer, CannotCome without a recent position, with too few seats
    or without a way by road.
    """
    if driver_id not in free:
        raise DriverBusy(driver_id)
    if driver_id not in supply.driver_id:
        raise CannotCome(driver_id, "the car has sent no position lately")
    row = supply.driver_id.index(driver_id)
    if supply.seats[row] < seats:
        raise CannotCome(driver_id, f"the car has {supply.seats[row]} seats, and the ride needs {seats}")
    here = places_on_roads(graph, [pickup.lat_deg], [pickup.lng_deg])
    eta_s = float(times_between(graph, supply.places[row : row + 1], here)[0])
    if eta_s == inf:
        raise CannotCome(driver_id, "no way by road leads from the car to the pickup")
    return eta_s
