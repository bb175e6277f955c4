"""Operators change any ride, each time with a reason that is kept in the transaction of the change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dispatch.errors import CannotCome, DriverBusy, IllegalMove, NotFound, NotListed, OffRoad, OffShift
from dispatch.model import Intervened, Intervention, Party, RideState, SupplySnapshot
from dispatch.ports import FreeDriver
from dispatch.rules.audience import inboxes
from dispatch.rules.invariants import check_history
from dispatch.service.named_driver import pickup_eta_of
from geo.roads.graph import RoadGraph
from geo.roads.road_places import places_on_roads
from kernel.points import Point
from pricing.rules.dropoff import Change
from tests.dispatch.people import arrive, history, offer, on_shift
from tests.workflows.town import DROPOFF, FARTHER, ArchiveAway, Town
from workflows.receipts import receipt_of


class NobodyListed:
    """A list of drivers with nobody on it."""

    async def may_drive(self, driver_id: str) -> bool:
        return False


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


async def test_an_operator_gives_a_ride_to_a_driver_by_name_and_all_three_are_told(town: Town) -> None:
    ride = await town.arrived()
    await on_shift(town.rides, "nora")
    town.stand(nora=3)
    given = await town.intervening.reassign(ride.ride_id, "olga", "a flat tyre", "nora")
    assert (given.state, given.driver_id, given.arrived_s) == (RideState.ASSIGNED, "nora", None)
    assert given.offer is not None
    assert given.offer.pickup_eta_s == pytest.approx(10.0 * abs(ride.pickup.node - 3))
    told = [(type(event).__name__, event.driver_id, inboxes(event)) for event in (await history(town.store))[-3:]]
    assert told == [
        ("AssignmentCancelled", "dora", ("rider:alice", "driver:dora")),
        ("OfferSent", "nora", ("driver:nora",)),
        ("OfferAccepted", "nora", ("rider:alice", "driver:nora")),
    ]
    assert [one.intervention for one in await audit(town)] == [Intervention("operator:olga", "reassign", "a flat tyre")]
    assert "dora" in await town.store.free_drivers()
    assert check_history(await history(town.store)).violations == []
    await town.rides.handle(arrive(ride.ride_id, "nora"))


async def test_a_ride_that_waits_or_is_offered_to_somebody_else_is_given_to_the_driver_by_name(town: Town) -> None:
    await on_shift(town.rides, "dora", "nora", "nils")
    waiting, offered = await town.requested(), await town.requested("bob", "another")
    (token,) = await town.leases.take([("dora", offered.ride_id)], town.clock.now_s, 15.0)
    await town.rides.handle(offer(offered.ride_id, "dora", token))
    town.stand(nils=3, nora=4)
    for ride, name in ((waiting, "nora"), (offered, "nils")):
        given = await town.intervening.reassign(ride.ride_id, "olga", "she knows the way", name)
        assert (given.state, given.driver_id) == (RideState.ASSIGNED, name)
    assert {"dora"} == set(await town.store.free_drivers())
    assert check_history(await history(town.store)).violations == []


async def test_why_a_driver_cannot_have_the_ride_is_said_and_whoever_had_it_keeps_it(town: Town) -> None:
    ride = await town.arrived()

    async def refused(name: str, error: type[Exception], why: str = ".") -> None:
        with pytest.raises(error, match=why):
            await town.intervening.reassign(ride.ride_id, "olga", "why", name)

    await refused("nobody", OffShift)
    await on_shift(town.rides, "nora")
    await refused("nora", CannotCome, "no position")
    town.stand(nora=3)
    town.clock.now_s += 10_000.0
    await refused("nora", CannotCome, "no position")
    await refused("dora", DriverBusy)
    town.rides._list = NobodyListed()
    await refused("nora", NotListed)
    assert await town.store.find_ride(ride.ride_id) == ride
    assert await audit(town) == []


def test_a_driver_without_a_way_to_the_pickup_or_with_too_few_seats_cannot_have_the_ride() -> None:
    one_way = RoadGraph.from_arrays([40.0, 40.001], [-74.0, -74.0], [0], [1], [100.0], [10.0])
    supply = SupplySnapshot(0.0, ("nora",), np.array([1]), np.array([4]))
    free = {"nora": FreeDriver(4, 0.0)}
    begin, end = Point(40.0, -74.0), Point(40.001, -74.0)
    assert pickup_eta_of("nora", end, 1, free, supply, one_way) == 0.0
    with pytest.raises(CannotCome, match="no way by road"):
        pickup_eta_of("nora", begin, 1, free, supply, one_way)
    with pytest.raises(CannotCome, match="4 seats, and the ride needs 5"):
        pickup_eta_of("nora", end, 5, free, supply, one_way)


def test_a_named_driver_needs_as_long_as_the_part_of_the_street_between() -> None:
    street = RoadGraph.from_arrays([40.0, 40.01], [-74.0, -74.0], [0, 1], [1, 0], [1_112.0] * 2, [100.0] * 2)
    car, free = places_on_roads(street, [40.002], [-74.0]), {"nora": FreeDriver(4, 0.0)}
    supply = SupplySnapshot(0.0, ("nora",), car.node, np.array([4]), edge=car.edge, share=car.share)
    assert pickup_eta_of("nora", Point(40.007, -74.0), 1, free, supply, street) == pytest.approx(50.0, abs=0.1)


async def test_a_corrected_dropoff_costs_what_the_driver_would_have_reported(town: Town) -> None:
    reported = await town.on_trip("bob")
    town.clock.now_s += 400.0
    told = await town.finishing.finish(reported.ride_id, "dora", FARTHER)
    ride = await town.on_trip("alice", token=2)
    town.clock.now_s += 400.0
    untold = await town.finishing.finish(ride.ride_id, "dora", None)
    assert untold.owed_cents == ride.fare_cents < (told.owed_cents or 0)
    corrected = await town.intervening.correct(ride.ride_id, "olga", "she left farther on", None, FARTHER)
    assert corrected.owed_cents == told.owed_cents == total(corrected)
    receipt, told_receipt = receipt_of(corrected), receipt_of(told)
    assert receipt is not None
    assert told_receipt is not None
    assert receipt.changes == (*told_receipt.changes, "correction")
    assert Change.DROPOFF in receipt.changes
    assert [one.intervention.action for one in await audit(town, ride.ride_id)] == ["correct"]
    back = await town.intervening.correct(ride.ride_id, "olga", "no, as agreed", None, DROPOFF)
    assert (back.owed_cents, total(back)) == (ride.fare_cents, ride.fare_cents)


async def test_a_corrected_dropoff_with_a_fare_costs_that_fare_and_a_no_show_costs_its_fee(town: Town) -> None:
    ride = await town.arrived()
    ended = await town.intervening.end(ride.ride_id, "olga", "nobody there", None)
    corrected = await town.intervening.correct(ride.ride_id, "olga", "another place", None, FARTHER)
    assert corrected.owed_cents == ended.owed_cents == 500


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
