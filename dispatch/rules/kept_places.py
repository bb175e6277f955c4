"""When nobody needs the exact places of a ride any more, and the coarse ones that stay: centres of surge cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dispatch.model import Ride
from geo.cells import cell_to_latlng, latlng_to_cells
from kernel.points import Place

#: The road node of a coarse place: it is on no road.
NO_NODE = -1
#: Which members of an event are places.
_PLACES = ("pickup", "dropoff")
_COARSE = "coarse_resolution"


def needs_no_places(ride: Ride, before_s: float) -> bool:
    """Whether the ride has ended before a time and says what is owed of it; one that is live needs its places."""
    return ride.owed_cents is not None and ride.ended_s is not None and ride.ended_s < before_s


def coarse(place: Place, resolution: int) -> Place:
    """Return the centre of the H3 cell that the place is in."""
    lat_deg, lng_deg = cell_to_latlng(latlng_to_cells([place.lat_deg], [place.lng_deg], resolution))
    return Place(float(lat_deg[0]), float(lng_deg[0]), NO_NODE)


def with_coarse_places(ride: Ride, resolution: int) -> Ride:
    """Return the ride with the cells of its pickup and dropoff instead of the places."""
    pickup, dropoff = coarse(ride.pickup, resolution), coarse(ride.dropoff, resolution)
    agreed = ride.agreed and replace(ride.agreed, dropoff=coarse(ride.agreed.dropoff, resolution))
    return replace(ride, pickup=pickup, dropoff=dropoff, map_id="", coarse_resolution=resolution, agreed=agreed)


def event_with_coarse_places(event: Mapping[str, Any], resolution: int) -> dict[str, Any] | None:
    """Return an event's JSON object with cells instead of places; None if it has no exact ones.

    Raises ValueError, KeyError or TypeError for a place that is none.
    """
    named = [name for name in _PLACES if event.get(name) is not None]
    if not named or event.get(_COARSE) is not None:
        return None
    places = {
        name: coarse(Place(event[name]["lat_deg"], event[name]["lng_deg"], NO_NODE), resolution) for name in named
    }
    plain = {name: {"lat_deg": at.lat_deg, "lng_deg": at.lng_deg, "node": at.node} for name, at in places.items()}
    return {**event, **plain, **({"map_id": ""} if "map_id" in event else {}), _COARSE: resolution}
