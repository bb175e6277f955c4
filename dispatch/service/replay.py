"""A recorded run decided again: its events as the commands that led to them, its rounds on what they saw.

Whoever replays gets the same events, bit for bit, or is told where the engine would decide otherwise today.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused
from dispatch.matching.policy import FollowsTraffic, MatchingPolicy
from dispatch.model import WITH_DRIVER, DispatchParams, Party, Ride, RideState
from dispatch.ports import RoundRecord
from dispatch.rules.places import on_map
from geo.places import Places
from geo.roads.graph import RoadGraph

#: Commands whose fields are all among those of the first event that they lead to.
_PLAIN: dict[type[ev.RideEvent], type[Any]] = {
    ev.RideRequested: cmd.RequestRide,
    ev.RideSetAside: cmd.SetAside,
    ev.OfferSent: cmd.SendOffer,
    ev.OfferAccepted: cmd.AcceptOffer,
    ev.OfferDeclined: cmd.DeclineOffer,
    ev.DriverArrived: cmd.ReportArrival,
    ev.RiderPickedUp: cmd.ReportPickup,
    ev.RiderDroppedOff: cmd.ReportDropoff,
    ev.RideRated: cmd.RateRide,
}


class ReplayDiverged(Exception):
    """The engine does not decide as it did when the run was recorded; the message says at which event and how."""

    def __init__(self, at: int, recorded: object, decided: object) -> None:
        super().__init__(f"event {at} was recorded as {recorded}, but is decided as {decided}")
        self.at = at


def command_of(events: Sequence[ev.RideEvent], at: int) -> cmd.RideCommand:
    """The command that led to the event at this place, and to those after it that came of the same command.

    Raises ValueError for an event that no command begins with.
    """
    event = events[at]
    if (plain := _PLAIN.get(type(event))) is not None:
        command: cmd.RideCommand = plain(**{field.name: getattr(event, field.name) for field in fields(plain)})
        return command
    following = events[at + 1] if at + 1 < len(events) else None
    if isinstance(event, ev.OfferWithdrawn):
        if not (isinstance(following, ev.RideCancelled) and following.ride_id == event.ride_id):
            return cmd.WithdrawOffer(event.offer_id, event.driver_id)
        event = following  # by whoever cancels the ride
    match event:
        case ev.TripClosed() | ev.RiderDidNotShow():
            return cmd.EndRide(event.ride_id, event.by, event.reason, event.fare_cents, event.receipt)
        case ev.RideCorrected():
            return cmd.CorrectRide(event.ride_id, event.reason, event.fare_cents, event.dropoff, event.receipt)
        case ev.OfferExpired() | ev.RideExpired():
            return cmd.ExpireDue()
        case ev.RideCancelled():
            return cmd.CancelRide(event.ride_id, event.by, event.rider_id, event.reason)
        case ev.AssignmentCancelled():
            # Taken back, overdue or given back: the event is the same.
            return cmd.CancelRide(event.ride_id, Party.DRIVER, event.driver_id, event.reason)
    raise ValueError(f"no command begins with {type(event).__name__}, which is event {at}")


class RoundsOfAnotherMap(ValueError):
    """Recorded rounds name nodes of another map than the one they are to be read with."""

    def __init__(self, record: RoundRecord, map_id: str) -> None:
        super().__init__(
            f"the round of {record.region_id} at {record.supply.now_s:.1f} s was recorded on the map {record.map_id}, "
            f"and the roads given are the map {map_id}: name the folder of the city as it was then with --city"
        )


def require_map(records: Iterable[RoundRecord], map_id: str) -> None:
    """Raise RoundsOfAnotherMap for the first round that was recorded on another map.

    Rounds that name no map were recorded by an older version and are taken for those of the map given.
    """
    for record in records:
        if record.map_id not in ("", map_id):
            raise RoundsOfAnotherMap(record, map_id)


def is_on_map(records: Iterable[RoundRecord], map_id: str) -> bool:
    """Whether all rounds can be read with a map."""
    return all(record.map_id in ("", map_id) for record in records)


class Replay:
    """Carries recorded commands out again, each on the rides that the live service would have read for it."""

    def __init__(self, params: DispatchParams) -> None:
        self._params = params
        self._rides: dict[str, Ride] = {}
        self._rides_of_driver: dict[str, set[str]] = {}

    def run(self, recorded: Sequence[ev.RideEvent]) -> Iterator[tuple[ev.RideEvent, Ride]]:
        """Yield every event as it is decided now, with the ride after it. Raises ReplayDiverged."""
        at = 0
        while at < len(recorded):
            decided = self._decide(recorded, at)
            for offset, event in enumerate(decided):
                before = recorded[at + offset] if at + offset < len(recorded) else None
                if event != before:
                    raise ReplayDiverged(at + offset, before, event)
                yield event, self._rides[event.ride_id]
            at += len(decided)

    def _decide(self, recorded: Sequence[ev.RideEvent], at: int) -> list[ev.RideEvent]:
        event = recorded[at]
        command = command_of(recorded, at)
        is_expiry = isinstance(command, cmd.ExpireDue)
        driver_id = None if is_expiry else getattr(event, "driver_id", None)
        names = {event.ride_id, *self._rides_of_driver.get(driver_id or "", ())}
        engine = DispatchEngine(self._params, [self._rides[name] for name in sorted(names) if name in self._rides])
        try:
            decided = engine.handle(command, event.at_s)
        except CommandRefused as refusal:
            raise ReplayDiverged(at, event, refusal) from refusal
        if not decided:
            raise ReplayDiverged(at, event, "nothing")
        self._keep(engine.ride(event.ride_id))
        return decided

    def _keep(self, ride: Ride) -> None:
        before = self._rides.get(ride.ride_id)
        if before is not None and (holder := _held_driver(before)) is not None:
            self._rides_of_driver[holder].discard(ride.ride_id)
        self._rides[ride.ride_id] = ride
        if (holder := _held_driver(ride)) is not None:
            self._rides_of_driver.setdefault(holder, set()).add(ride.ride_id)


def _held_driver(ride: Ride) -> str | None:
    if ride.state is RideState.OFFERED and ride.offer is not None:
        return ride.offer.driver_id
    return ride.driver_id if ride.state in WITH_DRIVER else None


@dataclass(frozen=True, slots=True)
class RoundReplayed:
    """One recorded round decided again."""

    record: RoundRecord
    matches: list[ev.MatchFound]

    @property
    def is_same(self) -> bool:
        """Whether the same drivers would be asked for the same rides, at the same scores."""
        return self.matches == list(self.record.matches)


def replay_rounds(
    events: Iterable[ev.RideEvent], records: Sequence[RoundRecord], policy: MatchingPolicy, graph: RoadGraph
) -> Iterator[RoundReplayed]:
    """Decide each recorded round again: on the rides as the events made them, the supply and travel times recorded.

    ``policy`` was made for ``graph``, the roads with the travel times of the city's folder.
    Rides of older maps are taken to the roads of the round, as the matcher took them.

    Raises RoundsOfAnotherMap for rounds of other roads than ``graph``; KeyError, naming it, for a ride that no event
    tells of.
    """
    places = Places.of(graph)
    require_map(records, places.map_id)
    wanted = {(ride_id, sequence) for record in records for ride_id, sequence in record.waiting}
    params = records[0].params if records else DispatchParams()
    rides = {}
    for _, ride in Replay(params).run(list(events)):
        if (ride.ride_id, ride.sequence) in wanted:
            rides[ride.ride_id, ride.sequence] = ride
    times_s = None
    for record in records:
        if record.travel_time_s is not times_s and isinstance(policy, FollowsTraffic):
            times_s = record.travel_time_s
            policy.follow_traffic(graph if times_s is None else graph.with_travel_times(times_s))
        waiting = [rides[key] for key in record.waiting]
        if record.map_id:
            waiting = on_map(waiting, places).rides
        engine = DispatchEngine(record.params, waiting, policy)
        yield RoundReplayed(record, engine.run_round(record.supply, record.supply.now_s))
