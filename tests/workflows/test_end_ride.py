"""Rides that end without a dropoff, over real databases: no-shows and deadlines, settled by the tariff."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatch.errors import IllegalMove, NotFound, TooEarly
from dispatch.model import TERMINAL, Party, Ride, RideState
from dispatch.rules.deadlines import overdue_s
from pricing.rules.dropoff import Change
from tests.dispatch.people import PARAMS, accept, history, offer, on_shift
from tests.workflows.town import ArchiveAway, Town
from workflows.receipts import receipt_of


async def kinds(town: Town) -> list[str]:
    return [type(event).__name__ for event in await history(town.store)]


async def read(town: Town, ride: Ride) -> Ride:
    found = await town.store.find_ride(ride.ride_id)
    assert found is not None
    return found


# -- no-shows ----------------------------------------------------------------------------------------------------------


async def test_after_the_tariffs_wait_a_no_show_costs_the_tariffs_fee_and_frees_the_driver(town: Town) -> None:
    ride = await town.arrived()
    town.clock.now_s += 239.5
    with pytest.raises(TooEarly) as early:
        await town.ending.report_no_show(ride.ride_id, "dora")
    assert early.value.seconds_left == 1
    town.clock.now_s += 0.5
    ended = await town.ending.report_no_show(ride.ride_id, "dora")
    assert (ended.state, ended.is_no_show, ended.owed_cents) == (RideState.CANCELLED, True, 500)
    receipt = receipt_of(ended)
    assert receipt is not None
    assert [(line.name, line.cents) for line in receipt.lines] == [("no_show", 500)]
    assert await town.ending.report_no_show(ride.ride_id, "dora") == ended
    assert (await kinds(town)).count("RiderDidNotShow") == 1
    assert "dora" in await town.store.free_drivers()


async def test_the_driver_sees_what_a_no_show_earns(town: Town) -> None:
    ride = await town.arrived()
    town.clock.now_s += 300.0
    await town.ending.report_no_show(ride.ride_id, "dora")
    _, earnings = await town.earnings.read(ride.ride_id, "dora")
    assert earnings is not None
    assert earnings.driver_cents + earnings.platform_cents + earnings.tax_cents == 500


async def test_without_its_tariff_a_no_show_costs_nothing_after_the_usual_wait(town: Town) -> None:
    ride = await town.arrived()
    town.archive.tariffs.clear()
    town.clock.now_s += 299.0
    with pytest.raises(TooEarly):
        await town.ending.report_no_show(ride.ride_id, "dora")
    town.clock.now_s += 1.0
    assert (await town.ending.report_no_show(ride.ride_id, "dora")).owed_cents == 0


async def test_a_no_show_waits_for_the_archive_of_tariffs(town: Town) -> None:
    ride = await town.arrived()
    town.clock.now_s += 300.0
    town.archive.is_away = True
    with pytest.raises(ArchiveAway):
        await town.ending.report_no_show(ride.ride_id, "dora")
    assert await read(town, ride) == ride


async def test_no_show_is_for_the_driver_at_the_pickup_alone(town: Town) -> None:
    ride = await town.on_trip(waited_s=600.0)
    with pytest.raises(IllegalMove):
        await town.ending.report_no_show(ride.ride_id, "dora")
    with pytest.raises(NotFound):
        await town.ending.report_no_show(ride.ride_id, "dave")


# -- deadlines ---------------------------------------------------------------------------------------------------------


async def test_an_overdue_trip_costs_what_was_agreed_and_the_waiting(town: Town) -> None:
    ride = await town.on_trip(waited_s=300.0)
    assert await town.overdue.look() == 0
    deadline_s = overdue_s(ride, PARAMS)
    assert deadline_s == town.clock.now_s + 3 * 400 + 1800
    town.clock.now_s = deadline_s
    assert await town.overdue.look() == 1
    ended = await read(town, ride)
    assert (ended.state, ended.ended_by, ended.end_reason) == (RideState.COMPLETED, Party.SYSTEM, "trip_overdue")
    receipt = receipt_of(ended)
    assert receipt is not None
    assert receipt.changes == (Change.WAITING,)
    assert ended.owed_cents == ride.fare_cents + 3 * 60
    assert await town.overdue.look() == 0
    assert "dora" in await town.store.free_drivers()


async def test_an_overdue_pickup_ends_as_a_no_show_with_the_fee(town: Town) -> None:
    ride = await town.arrived()
    town.clock.now_s += PARAMS.pickup_overdue_s
    assert await town.overdue.look() == 1
    ended = await read(town, ride)
    assert (ended.is_no_show, ended.ended_by, ended.owed_cents) == (True, Party.SYSTEM, 500)
    inboxes: list[Any] = [row for row in await history(town.store) if type(row).__name__ == "RiderDidNotShow"]
    assert [event.driver_id for event in inboxes] == ["dora"]


async def test_a_ride_overdue_on_the_way_to_the_pickup_waits_again(town: Town) -> None:
    ride = await town.requested()
    await on_shift(town.rides, "dora")
    await town.rides.handle(offer(ride.ride_id))
    await town.rides.handle(accept(f"{ride.ride_id}-1"))
    town.clock.now_s += 1e4
    assert await town.overdue.look() == 1
    assert (await read(town, ride)).state is RideState.REQUESTED


async def test_rides_that_are_ended_by_their_deadline_are_counted_by_kind(town: Town) -> None:
    kinds = ("approach_overdue", "pickup_overdue", "trip_overdue")

    def counted() -> list[float | None]:
        name = "hexhail_overdue_rides_total"
        return [town.registry.get_sample_value(name, {"region": "manhattan", "kind": kind}) for kind in kinds]

    await town.on_trip()
    assert await town.overdue.look() == 0
    assert counted() == [0.0, 0.0, 0.0]
    town.clock.now_s += 1e4
    assert await town.overdue.look() == 1
    assert counted() == [0.0, 0.0, 1.0]
    assert await town.overdue.look() == 0
    assert counted() == [0.0, 0.0, 1.0]


async def test_what_cannot_be_settled_now_is_ended_at_a_later_look(town: Town) -> None:
    ride = await town.on_trip()
    town.clock.now_s += 1e4
    town.archive.is_away = True
    assert await town.overdue.look() == 0
    assert (await read(town, ride)).state is RideState.ON_TRIP
    town.archive.is_away = False
    assert await town.overdue.look() == 1


async def test_a_dropoff_that_comes_while_the_deadline_is_settled_wins(town: Town) -> None:
    ride = await town.on_trip()
    town.clock.now_s += 1e4

    async def reported() -> None:
        town.archive.meanwhile = _nothing
        await town.finishing.finish(ride.ride_id, "dora", None)

    town.archive.meanwhile = reported
    assert await town.overdue.look() == 0
    assert [kind for kind in await kinds(town) if kind in ("RiderDroppedOff", "TripClosed")] == ["RiderDroppedOff"]


async def test_two_looks_at_once_end_a_ride_once(town: Town) -> None:
    ride = await town.on_trip()
    town.clock.now_s += 1e4
    assert sum(await asyncio.gather(town.overdue.look(), town.overdue.look())) == 1
    assert (await read(town, ride)).state in TERMINAL


async def _nothing() -> None:
    pass
