"""Takes the rides of a region to this process's map, and tells the riders of those that are on no road of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from dispatch.commands import SetAside
from dispatch.errors import CommandRefused
from dispatch.metrics import MatchingMetrics
from dispatch.model import Ride, RideState
from dispatch.ports import Carrying
from dispatch.rules.places import OFF_MAP, on_map
from dispatch.service.rides import RideService
from geo.places import Places

log = structlog.get_logger(__name__)


class RidePlaces:
    """The rides of one region on the map of this process."""

    def __init__(self, region_id: str, places: Places, rides: RideService, metrics: MatchingMetrics | None) -> None:
        self._region = region_id
        self.places = places
        self._rides = rides
        self._metrics = metrics
        #: Rides that the log has named already.
        self._named: set[str] = set()

    async def open_on_map(self, open_rides: Sequence[Ride]) -> list[Ride]:
        """The open rides that are on the map. The riders of the others are told once for each map, and counted."""
        placed = on_map(open_rides, self.places)
        if self._metrics is not None:
            self._metrics.off_map.labels(self._region).set(len(placed.off_map))
        self._named &= {ride.ride_id for ride in placed.off_map}
        for ride in placed.off_map:
            await self._leave_out(ride)
        return placed.rides

    def carrying_on_map(self, carrying: Sequence[Carrying]) -> list[Carrying]:
        """The drivers with a rider aboard whose dropoff is on the map: nobody knows when the others are free."""
        own, found = self.places, list(carrying)
        foreign = [row for row, trip in enumerate(carrying) if not own.holds(trip.dropoff, trip.map_id)]
        if not foreign:
            return found
        dropoffs = dict(zip(foreign, own.at([carrying[row].dropoff for row in foreign]), strict=True))
        for row, dropoff in dropoffs.items():
            if dropoff is not None:
                found[row] = replace(carrying[row], dropoff=dropoff, map_id=own.map_id)
        return [trip for row, trip in enumerate(found) if row not in dropoffs or dropoffs[row] is not None]

    def count(self, kind: str) -> None:
        """Count something that the round went on without."""
        if self._metrics is not None:
            self._metrics.set_aside.labels(self._region, kind).inc()

    async def _leave_out(self, ride: Ride) -> None:
        map_id = self.places.map_id
        if ride.ride_id not in self._named:
            self._named.add(ride.ride_id)
            log.warning("ride_off_map", region_id=self._region, ride_id=ride.ride_id, state=ride.state, map_id=map_id)
        if ride.state is not RideState.REQUESTED or ride.set_aside_on == map_id:
            return
        try:
            await self._rides.handle(SetAside(ride.ride_id, map_id, OFF_MAP))
        except CommandRefused:  # cancelled or expired since the rides were read
            return
        except Exception:  # its rider hears of it in the next round; the others have theirs
            log.exception("ride_not_set_aside", region_id=self._region, ride_id=ride.ride_id)
