"""Operators change any ride, each time with a reason that is kept in the transaction of the change."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch.errors import IllegalMove, NotFound, OffRoad
from dispatch.model import Intervened, Intervention, Party, RideState
from kernel.points import Point
from tests.dispatch.people import history
from tests.workflows.town import FARTHER, ArchiveAway, Town
from workflows.receipts import receipt_of


async def audit(town: Town, ride_id: str | None = None) -> list[Intervened]:
    return await town.store.interventions("manhattan", ride_id, 100)


def total(ride: Any) -> int:
    receipt = receipt_of(ride)
    assert receipt is not None
    return sum(line.cents for line in receipt.lines)


async def test_an_operator_ends_a_trip_for_what_the_tariff_says(town: Town) -> None:
    ride = await town.on_trip(waited_s=300.0)
    town.clock.now_s += 50_000.0
    ended = await town.intervening.end(ride.ride_id, "olga", "the car broke down", None)
    assert (ended.state, ended.ended_by, ended.end_reason) == (
        RideState.COMPLETED,
        Party.OPERATOR,
        "the car broke down",
    )
    assert ended.owed_cents == ride.fare_cents + 3 * 60 == total(ended)
    expected = Intervention("operator:olga", "end", "the car broke down")
    assert await audit(town) == [Intervened(ride.ride_id, ended.sequence, town.clock.now_s, expected)]


async def test_an_operator_ends_a_trip_for_another_fare_and_the_receipt_adds_up(town: Town) -> None:
    ride = await town.on_trip()
    town.archive.is_away = True
    ended = await town.intervening.end(ride.ride_id, "olga", "half the way", 321)
    assert (ended.owed_cents, total(ended)) == (321, 321)
    receipt = receipt_of(ended)
    assert receipt is not None
    assert receipt.changes == ("correction",)


async def test_an_operator_ends_the_waiting_at_a_pickup_as_a_no_show(town: Town) -> None:
    ride = await town.arrived()
    ended = await town.intervening.end(ride.ride_id, "olga", "nobody there", None)
    assert (ended.is_no_show, ended.owed_cents) == (True, 500)


@pytest.mark.parametrize("stage", ["requested", "arrived", "on_trip"])
async def test_an_operator_cancels_any_ride_for_nothing(town: Town, stage: str) -> None:
    ride = await getattr(town, stage)()
    ended = await town.intervening.cancel(ride.ride_id, "olga", "police")
    assert (ended.state, ended.cancelled_by, ended.owed_cents) == (RideState.CANCELLED, Party.OPERATOR, 0)
    again = await town.intervening.cancel(ride.ride_id, "olga", "police")
    assert again == ended
    assert [one.intervention.action for one in await audit(town, ride.ride_id)] == ["cancel"]


async def test_a_reassigned_ride_waits_for_another_driver_and_the_first_is_free(town: Town) -> None:
    ride = await town.arrived()
    waiting = await town.intervening.reassign(ride.ride_id, "olga", "a flat tyre")
    assert (waiting.state, waiting.driver_id) == (RideState.REQUESTED, None)
    assert "dora" in await town.store.free_drivers()


async def test_a_correction_changes_fare_place_or_both(town: Town) -> None:
    ride = await town.on_trip()
    await town.finishing.finish(ride.ride_id, "dora", None)
    corrected = await town.intervening.correct(ride.ride_id, "olga", "a toll", 777, FARTHER)
    assert (corrected.owed_cents, total(corrected), corrected.dropoff.node) == (777, 777, 60)
    again = await town.intervening.correct(ride.ride_id, "olga", "no toll", 700, None)
    assert (again.owed_cents, total(again), again.dropoff) == (700, 700, corrected.dropoff)
    assert [one.intervention.reason for one in await audit(town, ride.ride_id)] == ["no toll", "a toll"]
    _, earnings = await town.earnings.read(ride.ride_id, "dora")
    assert earnings is not None
    assert earnings.driver_cents + earnings.platform_cents + earnings.tax_cents == 700


async def test_what_is_refused_changes_nothing_and_is_not_on_record(town: Town) -> None:
    ride = await town.on_trip()
    with pytest.raises(IllegalMove):
        await town.intervening.reassign(ride.ride_id, "olga", "why")
    with pytest.raises(IllegalMove):
        await town.intervening.correct(ride.ride_id, "olga", "why", 1, None)
    with pytest.raises(OffRoad):
        await town.intervening.correct(ride.ride_id, "olga", "why", None, Point(0.0, 0.0))
    with pytest.raises(NotFound):
        await town.intervening.cancel("no-such-ride", "olga", "why")
    town.archive.is_away = True
    with pytest.raises(ArchiveAway):
        await town.intervening.end(ride.ride_id, "olga", "why", None)
    assert await town.store.find_ride(ride.ride_id) == ride
    assert await audit(town) == []


async def test_rides_that_end_by_their_deadline_are_on_record_too(town: Town) -> None:
    ride = await town.on_trip()
    town.clock.now_s += 1e4
    await town.overdue.look()
    (one,) = await audit(town, ride.ride_id)
    assert one.intervention == Intervention("system", "end_overdue", "trip_overdue")
    assert one.sequence == (await history(town.store))[-1].sequence
