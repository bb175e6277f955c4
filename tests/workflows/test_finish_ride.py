"""The fare and the end of a ride are one change, whatever happens between the reading of the ride and its end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dispatch.errors import IllegalMove, InvariantBroken, NotFound
from dispatch.events import RiderDroppedOff
from dispatch.model import Ride, RideState
from kernel.points import Point
from pricing.model.quotes import Receipt
from pricing.rules.dropoff import Change, Driven, DropoffTerms, OtherTrip, fare_at_dropoff
from tests.dispatch.people import history, pick_up
from tests.workflows.town import DROPOFF, FARTHER, TARIFF, Town, crossing
from workflows import settlement
from workflows.receipts import receipt_of
from workflows.settlement import Agreed, FareTerms, settle


def fare_of_the_recorded_times(ended: Ride, quoted: Ride, other_trip: OtherTrip | None = None) -> tuple[int, Receipt]:
    """What the tariff says of a quoted ride by the times that its record tells."""
    receipt = receipt_of(quoted)
    assert receipt is not None
    assert ended.arrived_s is not None
    assert ended.picked_up_s is not None
    assert ended.dropped_off_s is not None
    driven = Driven(ended.dropped_off_s - ended.picked_up_s, ended.picked_up_s - ended.arrived_s, other_trip)
    return fare_at_dropoff(TARIFF, quoted.fare_cents, receipt, driven)


async def dropoffs(town: Town) -> list[RiderDroppedOff]:
    return [event for event in await history(town.store) if isinstance(event, RiderDroppedOff)]


async def test_a_trip_as_quoted_costs_what_was_quoted(town: Town) -> None:
    quoted = await town.on_trip()
    town.clock.now_s += 400.0
    ended = await town.finishing.finish(quoted.ride_id, "dora", DROPOFF)
    assert (ended.state, ended.fare_cents, ended.receipt) == (RideState.COMPLETED, quoted.fare_cents, quoted.receipt)


async def test_a_fare_is_that_of_the_time_at_which_the_ride_ended_however_long_its_tariff_took_to_read(
    town: Town,
) -> None:
    quoted = await town.on_trip()
    town.clock.now_s += 400.0

    async def take_ten_minutes() -> None:
        town.clock.now_s += 600.0

    town.archive.meanwhile = take_ten_minutes
    ended = await town.finishing.finish(quoted.ride_id, "dora", None)
    assert ended.dropped_off_s == town.clock.now_s
    assert (ended.fare_cents, receipt_of(ended)) == fare_of_the_recorded_times(ended, quoted)
    assert ended.fare_cents > quoted.fare_cents


async def test_waiting_is_paid_when_pickup_and_dropoff_come_together_and_the_ride_was_read_before_both(
    town: Town,
) -> None:
    quoted = await town.arrived()
    town.clock.now_s += 300.0

    async def board() -> None:
        await town.rides.handle(pick_up(quoted.ride_id))
        town.clock.now_s += 400.0

    town.rides.after_find = board
    ended = await town.finishing.finish(quoted.ride_id, "dora", None)
    receipt = receipt_of(ended)
    assert receipt is not None
    assert receipt.changes == (Change.WAITING,)
    assert ended.fare_cents == quoted.fare_cents + 3 * 60


async def test_of_two_dropoffs_at_once_at_different_places_one_counts_with_the_fare_of_its_place(town: Town) -> None:
    quoted = await town.on_trip()
    town.clock.now_s += 600.0
    first, second = await asyncio.gather(
        town.finishing.finish(quoted.ride_id, "dora", FARTHER),
        town.finishing.finish(quoted.ride_id, "dora", crossing(20)),
    )
    assert first == second
    expected = [fare_of_the_recorded_times(first, quoted, OtherTrip(length_m, ())) for length_m in (6_000.0, 2_000.0)]
    assert (first.fare_cents, receipt_of(first)) in expected
    won = first
    assert [event.fare_cents for event in await dropoffs(town)] == [won.fare_cents]


async def test_a_repeated_dropoff_gets_the_ride_as_it_ended_and_settles_nothing_again(town: Town) -> None:
    quoted = await town.on_trip()
    town.clock.now_s += 900.0
    ended = await town.finishing.finish(quoted.ride_id, "dora", None)
    town.clock.now_s += 900.0
    assert await town.finishing.finish(quoted.ride_id, "dora", FARTHER) == ended
    assert await town.rides.find_for_driver(quoted.ride_id, "dora") == ended
    assert len(await dropoffs(town)) == 1


async def test_a_fare_that_cannot_be_computed_leaves_the_ride_as_it_was(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = await town.on_trip()
    with monkeypatch.context() as broken:
        broken.setattr(settlement, "fare_at_dropoff", None)
        with pytest.raises(TypeError):
            await town.finishing.finish(quoted.ride_id, "dora", None)
    assert await town.rides.find_for_driver(quoted.ride_id, "dora") == quoted
    assert await dropoffs(town) == []
    assert (await town.finishing.finish(quoted.ride_id, "dora", None)).state is RideState.COMPLETED


async def test_the_quote_stands_while_the_archive_of_tariffs_is_away(town: Town) -> None:
    quoted = await town.on_trip(waited_s=900.0)
    town.archive.is_away = True
    ended = await town.finishing.finish(quoted.ride_id, "dora", FARTHER)
    assert (ended.fare_cents, ended.receipt) == (quoted.fare_cents, quoted.receipt)


async def test_the_quote_stands_if_nobody_kept_its_tariff(town: Town) -> None:
    quoted = await town.on_trip(waited_s=900.0)
    town.archive.tariffs.clear()
    assert (await town.finishing.finish(quoted.ride_id, "dora", None)).fare_cents == quoted.fare_cents


async def test_another_drivers_ride_cannot_be_finished(town: Town) -> None:
    quoted = await town.on_trip()
    with pytest.raises(NotFound):
        await town.finishing.finish(quoted.ride_id, "dave", None)


async def test_a_ride_without_a_rider_aboard_cannot_be_finished_and_gets_no_fare(town: Town) -> None:
    quoted = await town.arrived()
    with pytest.raises(IllegalMove):
        await town.finishing.finish(quoted.ride_id, "dora", FARTHER)
    assert await town.rides.find_for_driver(quoted.ride_id, "dora") == quoted


@pytest.mark.parametrize(
    "changes",
    [{"pickup": Point(40.0, -74.0)}, {"dropoff": Point(40.0, -74.0)}, {"tariff_version": "another"}, {"quoted_s": 1.0}],
    ids=lambda changes: next(iter(changes)),
)
async def test_terms_of_another_agreement_settle_no_fare(town: Town, changes: dict[str, object]) -> None:
    quoted = await town.on_trip()
    agreed = Agreed.of(quoted)
    assert agreed is not None
    of_receipt = {name: value for name, value in changes.items() if hasattr(agreed.receipt, name)}
    of_trip = {name: value for name, value in changes.items() if name not in of_receipt}
    other = replace(agreed, receipt=replace(agreed.receipt, **of_receipt), **of_trip)
    with pytest.raises(InvariantBroken, match=quoted.ride_id):
        settle(quoted, FareTerms(other, DropoffTerms(TARIFF, None)), town.clock())
