"""Takes rides to the map that a process has, whatever map they were requested on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dispatch.events import RideEvent, RideRequested
from dispatch.model import Ride
from geo.places import Places

#: Why a ride is left out of the rounds: its pickup or dropoff is near no road of the map.
OFF_MAP = "off_map"


@dataclass(frozen=True, slots=True)
class OnMap:
    """Rides whose two places are on the map, in their order, and those of which one is near no road."""

    rides: list[Ride]
    off_map: list[Ride]


def on_map(rides: Sequence[Ride], places: Places) -> OnMap:
    """Snap the places of rides of other maps, or of none that is known, anew by their latitude and longitude."""
    foreign = [row for row, ride in enumerate(rides) if not is_on(ride, places)]
    if not foreign:
        return OnMap(list(rides), [])
    points = [point for row in foreign for point in (rides[row].pickup, rides[row].dropoff)]
    ends = places.at(points)
    anew: dict[int, Ride | None] = {}
    for row, pickup, dropoff in zip(foreign, ends[::2], ends[1::2], strict=True):
        if pickup is None or dropoff is None:
            anew[row] = None
        else:
            anew[row] = replace(rides[row], pickup=pickup, dropoff=dropoff, map_id=places.map_id)
    placed = [anew.get(row, ride) for row, ride in enumerate(rides)]
    return OnMap([ride for ride in placed if ride is not None], [rides[row] for row in foreign if anew[row] is None])


def requests_on_map(events: Iterable[RideEvent], places: Places) -> Iterator[RideEvent]:
    """Yield the events of a log with requests of other maps on this one; those near no road of it are left out.

    A log that names no map is of this one.
    """
    for event in events:
        if not isinstance(event, RideRequested) or event.map_id in ("", places.map_id):
            yield event
            continue
        pickup, dropoff = places.at([event.pickup, event.dropoff])
        if pickup is not None and dropoff is not None:
            yield replace(event, pickup=pickup, dropoff=dropoff, map_id=places.map_id)


def is_on(ride: Ride, places: Places) -> bool:
    """Whether the road numbers of a ride can be used on this map as they are."""
    return places.holds(ride.pickup, ride.map_id) and places.holds(ride.dropoff, ride.map_id)
