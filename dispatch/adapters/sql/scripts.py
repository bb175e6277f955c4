"""The ride store's transactions as scripts (`backing.sql.scripts`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from backing.outbox import scripts as outbox
from backing.outbox.rows import NewRow
from backing.sql.scripts import Dialect, Duplicate, Script, Statement
from dispatch.adapters.event_codec import encode
from dispatch.adapters.sql import statements as sql
from dispatch.errors import DriverBusy, IdempotencyConflict, InvariantBroken, OffShift, QuoteUsed, StaleToken
from dispatch.events import (
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferSent,
    OfferWithdrawn,
    RideEvent,
    RideRated,
    RideRequested,
)
from dispatch.model import Intervened, Intervention, Offer, OfferState, Ride, Shift, ShiftStatus
from dispatch.ports import Carrying, Decide, Decision, Outcome, Scope
from dispatch.rules.audience import inboxes
from dispatch.rules.lifecycle import FREES_DRIVER, OFFER_ENDS
from kernel.contracts.topics import RIDE_EVENTS_STREAM
from kernel.idempotency import IdempotencyKey
from kernel.points import Place


def read_ride(body: str) -> Ride:
    """A ride from its JSON."""
    return msgspec.json.decode(body, type=Ride)


#: What msgspec raises for a body that is not a ride: broken JSON, a wrong type, a value that a class refuses.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class _Bound(msgspec.Struct):
    """The part of a ride's JSON that says where its driver will be; decoded in a fifth of the time of the whole."""

    dropoff: Place
    map_id: str = ""


def read_carrying(row: Sequence[Any]) -> Carrying:
    """A driver with a rider aboard from the columns of `CARRYING_DRIVERS`."""
    driver_id, seats, body, stars_sum, stars_count, _ = row
    bound = msgspec.json.decode(body, type=_Bound)
    return Carrying(driver_id, seats, bound.dropoff, bound.map_id, stars_sum, stars_count)


def transact(dialect: Dialect, scope: Scope, decide: Decide, idempotency: IdempotencyKey | None) -> Script[Outcome]:
    """See `RideStore.transact`."""
    if idempotency is not None:
        before = yield from replay(dialect, idempotency)
        if before is not None:
            return before
    rides = yield from _read_scope(dialect, scope)
    decision = decide(list(rides.values()))
    yield from _write_ride(rides.get(decision.ride.ride_id), decision, scope)
    yield from outbox.add(dialect, map(_outbox_row, decision.events))
    if decision.intervention is not None and decision.events:
        yield _intervention_row(decision, decision.intervention)
    if idempotency is not None:
        response = msgspec.json.encode(decision.ride).decode()
        yield Statement(
            sql.ADD_KEY, (idempotency.principal, idempotency.key, idempotency.body_sha256, response, time.time())
        )
    return Outcome(decision.ride, decision.events)


def _intervention_row(decision: Decision, made: Intervention) -> Statement:
    ride, at_s = decision.ride, decision.events[-1].at_s
    row = (ride.ride_id, ride.sequence, ride.region_id, made.by_whom, made.action, made.reason, at_s)
    return Statement(sql.ADD_INTERVENTION, row)


def read_intervened(row: Sequence[Any]) -> Intervened:
    """An intervention from the columns of `LATEST_INTERVENTIONS`."""
    ride_id, sequence, at_s, by_whom, action, reason = row
    return Intervened(ride_id, sequence, at_s, Intervention(by_whom, action, reason))


def _outbox_row(event: RideEvent) -> NewRow:
    return NewRow(RIDE_EVENTS_STREAM, event.ride_id, event.sequence, event.region_id, inboxes(event), encode(event))


def replay(dialect: Dialect, idempotency: IdempotencyKey) -> Script[Outcome | None]:
    """See `RideStore.replay`."""
    response = yield from find_answer(dialect, idempotency)
    return None if response is None else Outcome(read_ride(response), (), is_replay=True)


def find_answer(dialect: Dialect, idempotency: IdempotencyKey) -> Script[str | None]:
    """The answer given to this key before, None if it is new; it is as durable then as when it was first given.

    Raises IdempotencyConflict.
    """
    rows = yield Statement(sql.FIND_KEY, (idempotency.principal, idempotency.key))
    if not rows:
        return None
    body_sha256, response = rows[0]
    if body_sha256 != idempotency.body_sha256:
        raise IdempotencyConflict(idempotency.key)
    if dialect == "postgres":
        yield Statement(sql.SETTLE)
    return str(response)


def _read_scope(dialect: Dialect, scope: Scope) -> Script[dict[str, Ride]]:
    """Read the rides of the scope. Locks are taken in one order, ride before driver, so that no deadlock arises."""
    found: list[Sequence[Any]] = []
    if scope.ride_id is not None:
        found += yield Statement(sql.FIND_RIDE + sql.LOCK[dialect], (scope.ride_id,))
    if scope.offer_id is not None:
        found += yield Statement(sql.FIND_RIDE_OF_OFFER + sql.LOCK_JOINED[dialect], (scope.offer_id,))
    if scope.driver_id is not None:
        yield Statement(sql.SHIFT_OF_DRIVER + sql.LOCK[dialect], (scope.driver_id,))
        # Offers before rides: a ride whose offer is accepted between the two reads is then found twice, not missed.
        found += yield Statement(sql.FIND_OFFERED_RIDES_OF_DRIVER, (scope.driver_id,))
        found += yield Statement(sql.FIND_RIDES_OF_DRIVER, (scope.driver_id,))
    if scope.rider_id is not None:
        if dialect == "postgres":  # a rider without rides has no row to lock
            yield Statement(sql.LOCK_RIDER, (scope.rider_id,))
        found += yield Statement(sql.FIND_LIVE_RIDES_OF_RIDER, (scope.rider_id,))
    rides: dict[str, Ride] = {}
    for (body,) in found:
        ride = read_ride(body)
        rides.setdefault(ride.ride_id, ride)
    if scope.offer_id is not None:
        yield from _recall_offer(scope.offer_id, rides)
    return rides


def _recall_offer(offer_id: str, rides: dict[str, Ride]) -> Script[None]:
    """Give a ride that has a newer offer the older one that is asked about, so that the answer can say how it ended."""
    rows = yield Statement(sql.FIND_OFFER, (offer_id,))
    for (body,) in rows:
        offer = msgspec.json.decode(body, type=Offer)
        ride = rides[offer.ride_id]
        if ride.offer is None or ride.offer.offer_id != offer_id:
            rides[offer.ride_id] = replace(ride, offer=offer)


def _write_ride(before: Ride | None, decision: Decision, scope: Scope) -> Script[None]:
    ride = decision.ride
    if not decision.events:
        return
    body = msgspec.json.encode(ride).decode()
    try:
        if before is None:
            yield Statement(
                sql.ADD_RIDE,
                (
                    ride.ride_id,
                    ride.region_id,
                    ride.rider_id,
                    ride.quote_id,
                    ride.state,
                    ride.driver_id,
                    ride.sequence,
                    ride.token,
                    ride.requested_s,
                    body,
                ),
            )
        else:
            moved = yield Statement(
                sql.MOVE_RIDE,
                (ride.state, ride.driver_id, ride.sequence, ride.token, body, ride.ride_id, before.sequence),
            )
            if not moved:
                raise InvariantBroken(f"ride {ride.ride_id} has moved on from {before.sequence} inside a transaction")
        for event in decision.events:
            yield from _write_offer(event, ride, before)
            yield from _write_driver(event)
    except Duplicate:
        if isinstance(decision.events[0], RideRequested):
            raise QuoteUsed(ride.quote_id) from None
        raise DriverBusy(scope.driver_id or ride.driver_id or "?") from None


def _write_offer(event: RideEvent, ride: Ride, before: Ride | None) -> Script[None]:
    offer = ride.offer
    if offer is None:
        return
    if isinstance(event, OfferWithdrawn) and event.offer_id != offer.offer_id:
        # The driver named by an operator has the newer one: what ends here is the offer before it.
        assert before is not None
        assert before.offer is not None
        offer = replace(before.offer, state=OfferState.WITHDRAWN)
    body = msgspec.json.encode(offer).decode()
    if isinstance(event, OfferSent):
        yield from _require_on_shift(offer.driver_id)
        yield from _require_askable(offer, ride)
        row = (offer.offer_id, ride.ride_id, ride.region_id, offer.driver_id, offer.token, OfferState.SENT, body)
        yield Statement(sql.ADD_OFFER, row)
    elif type(event) in OFFER_ENDS:
        if isinstance(event, OfferAccepted):
            yield from _require_on_shift(offer.driver_id)
        ended = yield Statement(sql.END_OFFER, (offer.state, body, offer.offer_id))
        if not ended:
            raise InvariantBroken(f"offer {offer.offer_id} had ended before it ended")


def _write_driver(event: RideEvent) -> Script[None]:
    """Write what an event changes in the driver's row: the start of being idle, the stars, the answers to offers."""
    if isinstance(event, FREES_DRIVER) and event.driver_id is not None:
        yield Statement(sql.IDLE_FROM_NOW, (event.at_s, event.driver_id))
    elif isinstance(event, RideRated):
        yield Statement(sql.ADD_STARS, (event.stars, event.driver_id))
    elif isinstance(event, OfferAccepted | OfferDeclined | OfferExpired):
        yield Statement(sql.COUNT_ANSWER, (int(isinstance(event, OfferAccepted)), event.driver_id))


def _require_on_shift(driver_id: str) -> Script[None]:
    """Refuse what concerns a driver who does not work any more; the scope has locked the row of the shift."""
    shift = yield Statement(sql.SHIFT_OF_DRIVER, (driver_id,))
    if not shift or shift[0][0] != ShiftStatus.ONLINE:
        raise OffShift(driver_id)


def _require_askable(offer: Offer, ride: Ride) -> Script[None]:
    """Refuse an offer that was decided on an older state of the driver, whom the scope has locked."""
    newest, has_next = (yield Statement(sql.NEWEST_FENCE_OF_DRIVER, (offer.driver_id, ride.region_id)))[0]
    if offer.token <= newest:
        raise StaleToken(offer.token, newest)
    # A ride given to a driver by name is the next one already; an index refuses a second.
    if has_next and ride.driver_id != offer.driver_id:
        raise DriverBusy(offer.driver_id)


def set_shift(dialect: Dialect, shift: Shift) -> Script[Shift]:
    """See `RideStore.set_shift`."""
    yield Statement(sql.SHIFT_OF_DRIVER + sql.LOCK[dialect], (shift.driver_id,))
    if shift.status is ShiftStatus.OFFLINE:
        rows = yield Statement(sql.FIND_RIDES_OF_DRIVER, (shift.driver_id,))
        if rows:
            raise DriverBusy(shift.driver_id)
    rows = yield Statement(sql.SET_SHIFT, (shift.driver_id, shift.status, shift.seats, shift.changed_s))
    stars_sum, stars_count = rows[0]
    return replace(shift, stars_sum=stars_sum, stars_count=stars_count)
