"""Rides that end without a dropoff, through the real edges."""

from __future__ import annotations

import pytest

from tests.api.installation import People, assert_problem
from tests.patience import eventually

pytestmark = pytest.mark.servers


async def test_a_no_show_is_refused_while_the_rider_may_still_come(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    async with driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        await driver.take(told_driver)
        assert_problem(await driver.post(f"/v1/rides/{ride_id}/no-show"), 409, "illegal_move")
        await driver.step(ride_id, "arrived")
        refused = assert_problem(await driver.post(f"/v1/rides/{ride_id}/no-show"), 409, "too_early")
        assert 0 < refused["seconds_left"] <= 300
        assert (await rider.ride(ride_id))["state"] == "ARRIVED"
        assert_problem(await people.driver().post(f"/v1/rides/{ride_id}/no-show"), 404, "not_found")


async def test_who_goes_off_shift_while_being_asked_cannot_accept_and_the_rider_waits_on(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    async with driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        offer = await told_driver.event("OfferSent", ride_id=ride_id)
        assert (await driver.post("/v1/drivers/me/status", {"status": "offline"})).status_code == 200
        await told_driver.event("OfferWithdrawn", offer_id=offer["offer_id"])
        assert_problem(await driver.post(f"/v1/offers/{offer['offer_id']}/accept"), 409, "offer_gone")
        assert (await rider.ride(ride_id))["driver_id"] is None


async def test_an_operator_ends_cancels_and_corrects_rides_and_all_hear_of_it(people: People) -> None:
    rider, driver, operator = people.rider(), people.driver(), people.operator()
    why = {"reason": "the driver's phone is dead"}
    async with rider.stream() as told_rider, driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        await driver.take(told_driver)
        await driver.step(ride_id, "arrived", "picked-up")
        agreed_cents = (await rider.ride(ride_id))["fare_cents"]
        ended = (await operator.post(f"/v1/ops/rides/{ride_id}/end", why)).json()
        assert (ended["state"], ended["ended_by"], ended["owed_cents"]) == ("COMPLETED", "operator", agreed_cents)
        for told in (told_rider, told_driver):
            assert (await told.event("TripClosed", ride_id=ride_id))["fare_cents"] == agreed_cents
        late = await driver.post(f"/v1/rides/{ride_id}/dropped-off")
        assert (late.status_code, late.json()) == (200, ended)
        body = {"reason": "it rained", "fare_cents": 100}
        corrected = (await operator.post(f"/v1/ops/rides/{ride_id}/correct", body)).json()
        assert corrected["owed_cents"] == sum(line["cents"] for line in corrected["receipt"]["lines"]) == 100
        await told_rider.event("RideCorrected", ride_id=ride_id, fare_cents=100)
        other_id = await rider.request_ride()
        cancelled = (await operator.post(f"/v1/ops/rides/{other_id}/cancel", why)).json()
        assert (cancelled["cancelled_by"], cancelled["owed_cents"]) == ("operator", 0)
    record = (await operator.get(f"/v1/ops/rides/{ride_id}/interventions")).json()["interventions"]
    assert [(one["by_whom"], one["action"]) for one in record] == [
        ("operator:operator", "correct"),
        ("operator:operator", "end"),
    ]
    newest = (await operator.get("/v1/ops/interventions")).json()["interventions"]
    assert {ride_id, other_id} <= {one["ride_id"] for one in newest}


async def test_an_operator_gives_a_ride_to_a_driver_by_name_and_all_hear_of_it(people: People) -> None:
    rider, first, named, operator = people.rider(), people.driver(), people.driver(), people.operator()
    async with rider.stream() as told_rider, first.on_shift() as told_first:
        ride_id = await rider.request_ride()
        await first.take(told_first)
        why = {"reason": "a flat tyre", "driver_id": named.id}
        assert_problem(await operator.post(f"/v1/ops/rides/{ride_id}/reassign", why), 409, "off_shift")
        async with named.on_shift() as told_named:

            async def is_given() -> bool:  # once the position of the named driver has arrived
                return (await operator.post(f"/v1/ops/rides/{ride_id}/reassign", why)).status_code == 200

            await eventually(is_given)
            await told_first.event("AssignmentCancelled", ride_id=ride_id, reason="a flat tyre")
            for told in (told_rider, told_named):
                await told.event("OfferAccepted", ride_id=ride_id, driver_id=named.id)
            assert_problem(await operator.post(f"/v1/ops/rides/{ride_id}/reassign", why), 409, "driver_busy")
            await named.step(ride_id, "arrived", "picked-up")
            assert_problem(
                await operator.post(f"/v1/ops/rides/{ride_id}/reassign", {**why, "driver_id": first.id}),
                409,
                "illegal_move",
            )
            await named.step(ride_id, "dropped-off")
    record = (await operator.get(f"/v1/ops/rides/{ride_id}/interventions")).json()["interventions"]
    assert [one["action"] for one in record] == ["reassign"]


async def test_operators_give_reasons_and_something_to_correct(people: People) -> None:
    rider, operator = people.rider(), people.operator()
    ride_id = await rider.request_ride()
    for action in ("end", "cancel", "reassign", "correct"):
        assert_problem(await operator.post(f"/v1/ops/rides/{ride_id}/{action}", {}), 422, "invalid")
    assert_problem(await operator.post(f"/v1/ops/rides/{ride_id}/correct", {"reason": "why"}), 422, "invalid")
    refused = await operator.post(f"/v1/ops/rides/{ride_id}/reassign", {"reason": "why"})
    if (await rider.ride(ride_id))["state"] == "REQUESTED":
        assert_problem(refused, 409, "illegal_move")
