"""The rides that an engine knows, found by ride, by offer and by driver without a search."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from dispatch.errors import NotFound
from dispatch.model import NEXT, OPEN, Ride, RideState


class Book:
    """Rides by id, with indices that follow each change."""

    def __init__(self, rides: Iterable[Ride] = ()) -> None:
        self._rides: dict[str, Ride] = {}
        #: (time of the request, id) of those without a driver, in this order: each round asks for all of them.
        self._open: list[tuple[float, str]] = []
        self._ride_of_offer: dict[str, str] = {}
        #: Rides that hold a driver, by a live offer or as theirs: one each, unless somebody broke the rules.
        self._offered_to: dict[str, set[str]] = {}
        self._next_of: dict[str, set[str]] = {}
        self._aboard: dict[str, set[str]] = {}
        for ride in rides:
            self.put(ride)

    def __contains__(self, ride_id: object) -> bool:
        return ride_id in self._rides

    def get(self, ride_id: str) -> Ride:
        """The ride as it stands. Raises NotFound."""
        try:
            return self._rides[ride_id]
        except KeyError:
            raise NotFound("ride", ride_id) from None

    def all(self) -> Iterable[Ride]:
        """Every ride, in no order that counts."""
        return self._rides.values()

    def open(self) -> list[Ride]:
        """Rides without a driver, the oldest request first."""
        return [self._rides[ride_id] for _, ride_id in self._open]

    def with_driver(self) -> list[Ride]:
        """Rides bound to a driver, by their ids."""
        bound = {ride_id for index in (self._next_of, self._aboard) for rides in index.values() for ride_id in rides}
        return [self._rides[ride_id] for ride_id in sorted(bound)]

    def of_offer(self, offer_id: str) -> Ride | None:
        """The ride whose newest offer this is."""
        ride_id = self._ride_of_offer.get(offer_id)
        return None if ride_id is None else self._rides[ride_id]

    def has_next(self, driver_id: str) -> bool:
        """Whether the driver has a ride to pick up."""
        return driver_id in self._next_of

    def is_carrying(self, driver_id: str) -> bool:
        """Whether the driver has a rider aboard."""
        return driver_id in self._aboard

    def is_asked(self, driver_id: str) -> bool:
        """Whether a live offer stands at the driver."""
        return driver_id in self._offered_to

    def put(self, ride: Ride) -> None:
        """Take in a ride, or its next state."""
        before = self._rides.get(ride.ride_id)
        if before is not None:
            self._unlink(before)
        self._rides[ride.ride_id] = ride
        if ride.state in OPEN:
            insort(self._open, (ride.requested_s, ride.ride_id))
        if ride.offer is not None:
            self._ride_of_offer[ride.offer.offer_id] = ride.ride_id
            if ride.state is RideState.OFFERED:
                self._offered_to.setdefault(ride.offer.driver_id, set()).add(ride.ride_id)
        if ride.driver_id is not None:
            if ride.state in NEXT:
                self._next_of.setdefault(ride.driver_id, set()).add(ride.ride_id)
            elif ride.state is RideState.ON_TRIP:
                self._aboard.setdefault(ride.driver_id, set()).add(ride.ride_id)

    def _unlink(self, ride: Ride) -> None:
        if ride.state in OPEN:
            del self._open[bisect_left(self._open, (ride.requested_s, ride.ride_id))]
        if ride.offer is not None:
            self._ride_of_offer.pop(ride.offer.offer_id, None)
            _discard(self._offered_to, ride.offer.driver_id, ride.ride_id)
        if ride.driver_id is not None:
            _discard(self._next_of if ride.state in NEXT else self._aboard, ride.driver_id, ride.ride_id)


def _discard(index: dict[str, set[str]], driver_id: str, ride_id: str) -> None:
    rides = index.get(driver_id)
    if rides is not None:
        rides.discard(ride_id)
        if not rides:
            del index[driver_id]
