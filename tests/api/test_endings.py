"""Rides that end without a dropoff, through the real edges."""

from __future__ import annotations

import pytest

from tests.api.installation import People, assert_problem

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
