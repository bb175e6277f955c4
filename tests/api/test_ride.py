"""Rides from the first question to the fare, through the real HTTP and WebSocket edges of a whole installation."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.installation import TIMES_SQUARE, TRIP, UNION_SQUARE, People, assert_problem

pytestmark = pytest.mark.servers


async def test_a_ride_from_the_quote_to_the_fare(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    async with rider.stream() as told_rider, driver.on_shift() as told_driver:
        quote = (await rider.post("/v1/quotes", TRIP)).json()
        assert quote["currency"] == "USD"
        assert 0.9 <= quote["surge_multiplier"] <= 3.0
        assert 2_000 < quote["distance_m"] < 6_000
        assert sum(line["cents"] for line in quote["lines"]) == quote["price_cents"]

        request = {"quote_id": quote["quote_id"]}
        asked = await rider.post("/v1/rides", request, **{"Idempotency-Key": "the-first-ride"})
        ride = asked.json()
        ride_id = ride["ride_id"]
        assert (asked.status_code, ride["state"], ride["fare_cents"]) == (201, "REQUESTED", quote["price_cents"])
        again = await rider.post("/v1/rides", request, **{"Idempotency-Key": "the-first-ride"})
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
        assert again.json() == ride
        assert "Idempotency-Replayed" not in asked.headers

        offer = await told_driver.event("OfferSent", ride_id=ride_id)
        assert offer["fare_cents"] == quote["price_cents"]
        assert {name: offer["pickup"][name] for name in ("lat_deg", "lng_deg")} == TIMES_SQUARE
        assert {name: offer["dropoff"][name] for name in ("lat_deg", "lng_deg")} == UNION_SQUARE

        taken = await driver.accept(offer)
        assert (taken.status_code, taken.json()["state"]) == (200, "ASSIGNED")
        accepted = await told_rider.event("OfferAccepted", ride_id=ride_id)
        assert (accepted["driver_id"], accepted["pickup_eta_s"]) == (driver.id, offer["pickup_eta_s"])

        for step, state, event in (
            ("arrived", "ARRIVED", "DriverArrived"),
            ("picked-up", "ON_TRIP", "RiderPickedUp"),
            ("dropped-off", "COMPLETED", "RiderDroppedOff"),
        ):
            assert (await driver.step(ride_id, step))["state"] == state
            last = await told_rider.event(event, ride_id=ride_id)
        assert last["fare_cents"] == quote["price_cents"]

        await told_driver.event("RiderDroppedOff", ride_id=ride_id)
        assert told_driver.events == ["OfferSent", "OfferAccepted", "DriverArrived", "RiderPickedUp", "RiderDroppedOff"]
        assert told_rider.events == [
            *("RideRequested", "OfferAccepted"),
            *("DriverArrived", "RiderPickedUp", "RiderDroppedOff"),
        ]
        ride = await rider.ride(ride_id)
        moments = ("requested_s", "assigned_s", "arrived_s", "picked_up_s", "dropped_off_s")
        assert [ride[name] for name in moments] == sorted(ride[name] for name in moments)
        assert (await driver.get(f"/v1/rides/{ride_id}")).json() == ride
        assert ride["receipt"] == {
            **{name: quote[name] for name in ("lines", "tax_cents", "tariff_version", "distance_m", "travel_time_s")},
            "surge_multiplier": quote["surge_multiplier"],
            "quoted_s": quote["expires_s"] - 300.0,
            "changes": [],
        }
        earnings = (await driver.get(f"/v1/drivers/me/rides/{ride_id}/earnings")).json()
        assert earnings["driver_cents"] == sum(line["cents"] for line in earnings["lines"])
        shares = ("driver_cents", "platform_cents", "tax_cents")
        assert sum(earnings[name] for name in shares) == earnings["fare_cents"] == ride["fare_cents"]
        stranger = await people.driver().get(f"/v1/drivers/me/rides/{ride_id}/earnings")
        assert_problem(stranger, 404, "not_found")


async def test_a_driver_sees_the_earnings_of_a_ride_while_it_is_offered_and_no_longer(people: People) -> None:
    driver = people.driver()
    async with driver.on_shift() as told:
        ride_id = await people.rider().request_ride()
        offer = await told.event("OfferSent", ride_id=ride_id)
        path = f"/v1/drivers/me/rides/{ride_id}/earnings"
        earnings = (await driver.get(path)).json()
        assert earnings["driver_cents"] > 0
        assert earnings["fare_cents"] == offer["fare_cents"]
        # Where the cell is on surge, a bonus can exceed the platform's part: only the sum is certain.
        shares = ("driver_cents", "platform_cents", "tax_cents")
        assert sum(earnings[name] for name in shares) == earnings["fare_cents"]
        assert_problem(await people.driver().get(path), 404, "not_found")
        await driver.post(f"/v1/offers/{offer['offer_id']}/decline")
        assert_problem(await driver.get(path), 404, "not_found")


async def test_a_rider_rates_a_trip_once_and_the_driver_is_told_nothing_of_it(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    async with rider.stream() as told_rider, driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        path = f"/v1/rides/{ride_id}/rating"
        await driver.take(told_driver)
        assert_problem(await rider.post(path, {"stars": 4}), 409, "illegal_move")
        await driver.step(ride_id, "arrived", "picked-up", "dropped-off")
        assert_problem(await rider.post(path, {"stars": 6}), 422, "invalid")
        assert_problem(await people.rider().post(path, {"stars": 1}), 404, "not_found")
        assert_problem(await driver.post(path, {"stars": 5}), 403, "wrong_role")
        for _ in range(2):
            rated = await rider.post(path, {"stars": 4})
            assert (rated.status_code, rated.json()) == (200, {"stars": 4})
        assert_problem(await rider.post(path, {"stars": 5}), 409, "already_rated")
        assert (await told_rider.event("RideRated", ride_id=ride_id))["stars"] == 4
        # The relay hands out in order: what comes after the rating shows that it was passed over.
        await rider.request_ride()
        await told_driver.event("OfferSent")
        assert "RideRated" not in told_driver.events
        assert "stars" not in (await driver.get(f"/v1/rides/{ride_id}")).json()
        assert (await driver.post("/v1/drivers/me/status", {"status": "online"})).json()["rating"] is None


async def test_two_riders_and_one_driver_are_served_one_after_the_other(people: People) -> None:
    riders, driver = [people.rider(), people.rider()], people.driver()
    async with riders[0].stream() as first, riders[1].stream() as second:
        streams = [first, second]
        rides = await asyncio.gather(*(rider.request_ride() for rider in riders))
        async with driver.on_shift() as told_driver:
            won = rides.index(await driver.take(told_driver))
            lost = 1 - won
            accepted = await streams[won].event("OfferAccepted", ride_id=rides[won])
            assert accepted["driver_id"] == driver.id
            waiting = await riders[lost].ride(rides[lost])
            assert (waiting["state"], waiting["driver_id"]) == ("REQUESTED", None)
            assert_problem(await driver.get(f"/v1/rides/{rides[lost]}"), 404, "not_found")

            await driver.step(rides[won], "arrived", "picked-up", "dropped-off")
            assert await driver.take(told_driver) == rides[lost]
            accepted = await streams[lost].event("OfferAccepted", ride_id=rides[lost])
            assert accepted["driver_id"] == driver.id
            assert (await driver.step(rides[lost], "arrived", "picked-up", "dropped-off"))["state"] == "COMPLETED"
            await streams[lost].event("RiderDroppedOff", ride_id=rides[lost])
        assert (await riders[won].ride(rides[won]))["state"] == "COMPLETED"


async def test_a_rider_cancels_before_anybody_is_asked(people: People) -> None:
    rider = people.rider()
    async with rider.stream() as told:
        ride_id = await rider.request_ride()
        cancelled = (await rider.post(f"/v1/rides/{ride_id}/cancel", {"reason": "raining"})).json()
        assert (cancelled["state"], cancelled["cancelled_by"]) == ("CANCELLED", "rider")
        event = await told.event("RideCancelled", ride_id=ride_id)
        assert (event["by"], event["reason"]) == ("rider", "raining")
        again = await rider.post(f"/v1/rides/{ride_id}/cancel")
        assert (again.status_code, again.json()) == (200, cancelled)


async def test_a_rider_cancels_while_a_driver_is_being_asked(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    async with driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        offer = await told_driver.event("OfferSent", ride_id=ride_id)
        assert (await rider.post(f"/v1/rides/{ride_id}/cancel")).json()["state"] == "CANCELLED"
        await told_driver.event("OfferWithdrawn", offer_id=offer["offer_id"])
        assert_problem(await driver.accept(offer), 409, "offer_gone")


@pytest.mark.parametrize("steps", [(), ("arrived",)], ids=["on the way", "at the pickup"])
async def test_a_rider_cancels_although_the_driver_is(people: People, steps: tuple[str, ...]) -> None:
    rider, driver = people.rider(), people.driver()
    async with driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        await driver.take(told_driver)
        if steps:
            await driver.step(ride_id, *steps)
        cancelled = (await rider.post(f"/v1/rides/{ride_id}/cancel")).json()
        assert (cancelled["state"], cancelled["cancelled_by"]) == ("CANCELLED", "rider")
        await told_driver.event("RideCancelled", ride_id=ride_id)
        assert_problem(await driver.post(f"/v1/rides/{ride_id}/picked-up"), 409, "illegal_move")


@pytest.mark.parametrize("steps", [(), ("arrived",)], ids=["on the way", "at the pickup"])
async def test_a_driver_gives_the_ride_back_and_another_gets_it(people: People, steps: tuple[str, ...]) -> None:
    rider, driver, other = people.rider(), people.driver(), people.driver()
    async with rider.stream() as told_rider, driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        await driver.take(told_driver)
        if steps:
            await driver.step(ride_id, *steps)
        given_back = (await driver.post(f"/v1/rides/{ride_id}/cancel", {"reason": "flat tyre"})).json()
        assert (given_back["state"], given_back["driver_id"]) == ("REQUESTED", None)
        await told_rider.event("AssignmentCancelled", ride_id=ride_id, driver_id=driver.id)
        assert_problem(await driver.get(f"/v1/rides/{ride_id}"), 404, "not_found")
        async with other.on_shift() as told_other:
            assert await other.take(told_other) == ride_id
            await told_rider.event("OfferAccepted", ride_id=ride_id, driver_id=other.id)


async def test_nobody_cancels_a_trip_that_has_begun(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    async with driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        await driver.take(told_driver)
        await driver.step(ride_id, "arrived", "picked-up")
        for person in (rider, driver):
            assert_problem(await person.post(f"/v1/rides/{ride_id}/cancel"), 409, "illegal_move")
        assert_problem(await driver.post("/v1/drivers/me/status", {"status": "offline"}), 409, "driver_busy")
        assert (await rider.ride(ride_id))["state"] == "ON_TRIP"


async def test_a_declined_offer_goes_to_another_driver(people: People) -> None:
    rider, near, far = people.rider(), people.driver(), people.driver()
    async with near.on_shift() as told_near:
        ride_id = await rider.request_ride()
        offer = await told_near.event("OfferSent", ride_id=ride_id)
        declined = await near.post(f"/v1/offers/{offer['offer_id']}/decline", {"reason": "end of shift"})
        assert (declined.status_code, declined.json()["state"]) == (200, "REQUESTED")
        async with far.on_shift(UNION_SQUARE) as told_far:
            assert await far.take(told_far) == ride_id
        assert_problem(await near.accept(offer), 409, "offer_gone")
    assert told_near.events.count("OfferSent") == 1


async def test_a_silent_driver_loses_the_offer_to_another(people: People) -> None:
    rider, silent, other = people.rider(), people.driver(), people.driver()
    async with silent.on_shift() as told_silent:
        ride_id = await rider.request_ride()
        offer = await told_silent.event("OfferSent", ride_id=ride_id)
        async with other.on_shift(UNION_SQUARE) as told_other:
            await told_silent.event("OfferExpired", offer_id=offer["offer_id"])
            assert await other.take(told_other) == ride_id
            problem = assert_problem(await silent.accept(offer), 409, "offer_gone")
            assert "EXPIRED" in problem["detail"]
            assert (await rider.ride(ride_id))["driver_id"] == other.id
