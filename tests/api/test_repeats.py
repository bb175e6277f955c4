"""Requests that come twice: with an idempotency key the same answer, without one the ride as it is."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from api.app import build_app
from api.keyed_answers import HEADER, MUTATING
from tests.api.installation import TRIP, People, Person, assert_problem


def _never() -> Any:
    @asynccontextmanager
    async def opened() -> Any:
        raise AssertionError("the document needs no servers")
        yield

    return opened()


def test_every_operation_that_changes_something_takes_an_idempotency_key_and_says_when_it_replays() -> None:
    document = build_app(_never).openapi()
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method.upper() in MUTATING
    ]
    assert len(operations) > 10
    for method, path, operation in operations:
        taken = [one for one in operation["parameters"] if (one["in"], one["name"]) == ("header", HEADER)]
        assert len(taken) == 1, f"{method} {path}"
        answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        assert answers
        assert all("Idempotency-Replayed" in answer["headers"] for answer in answers), f"{method} {path}"


async def twice(person: Person, path: str, body: Any = None) -> httpx.Response:
    """Send a request twice with one key; the second answer is the first. Then again without: success all the same."""
    key = {HEADER: uuid.uuid4().hex}
    first, second = await person.post(path, body, **key), await person.post(path, body, **key)
    assert first.is_success, first.text
    assert "Idempotency-Replayed" not in first.headers
    assert (second.status_code, second.headers["Idempotency-Replayed"]) == (first.status_code, "true")
    assert second.json() == first.json()
    again = await person.post(path, body)
    assert again.status_code == first.status_code, again.text
    return again


@pytest.mark.servers
async def test_each_step_of_a_ride_said_twice_happens_once(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    async with rider.stream() as told_rider, driver.on_shift() as told_driver:
        await twice(driver, "/v1/drivers/me/status", {"status": "online"})
        await twice(rider, "/v1/quotes", TRIP)
        ride_id = await rider.request_ride()
        offer = await told_driver.event("OfferSent", ride_id=ride_id)
        taken = await twice(driver, f"/v1/offers/{offer['offer_id']}/accept")
        assert (taken.json()["state"], taken.json()["driver_id"]) == ("ASSIGNED", driver.id)
        for step in ("arrived", "picked-up", "dropped-off"):
            await twice(driver, f"/v1/rides/{ride_id}/{step}")
        ended = await twice(driver, f"/v1/rides/{ride_id}/dropped-off", {"dropoff": TRIP["pickup"]})
        assert ended.json() == await rider.ride(ride_id)
        await twice(rider, f"/v1/rides/{ride_id}/rating", {"stars": 5})
        await told_rider.event("RideRated", ride_id=ride_id)
        steps = ["OfferAccepted", "DriverArrived", "RiderPickedUp", "RiderDroppedOff"]
        assert told_rider.events == ["RideRequested", *steps, "RideRated"]


@pytest.mark.servers
async def test_refusals_said_twice_happen_once_and_do_not_tell_whose_the_ride_became(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    async with driver.on_shift() as told_driver:
        ride_id = await rider.request_ride()
        offer = await told_driver.event("OfferSent", ride_id=ride_id)
        await twice(driver, f"/v1/offers/{offer['offer_id']}/decline", {"reason": "too far"})
        await twice(rider, f"/v1/rides/{ride_id}/cancel")
        assert (await driver.post(f"/v1/offers/{offer['offer_id']}/decline")).json()["ended_s"] is None
        another_id = await rider.request_ride()
        await driver.take(told_driver)
        left = await twice(driver, f"/v1/rides/{another_id}/cancel")
        assert (left.json()["state"], left.json()["driver_id"]) == ("REQUESTED", None)


@pytest.mark.servers
async def test_a_key_means_one_request_of_one_person(people: People) -> None:
    one, other = people.rider(), people.rider()
    key = {HEADER: uuid.uuid4().hex}
    quote = await one.post("/v1/quotes", TRIP, **key)
    assert_problem(await one.post("/v1/quotes", TRIP | {"seats": 2}, **key), 422, "idempotency_conflict")
    assert (await other.post("/v1/quotes", TRIP, **key)).json()["quote_id"] != quote.json()["quote_id"]
    assert_problem(await one.post("/v1/quotes", TRIP, **{HEADER: "short"}), 422, "invalid_key")


@pytest.mark.servers
async def test_what_was_refused_may_be_tried_again_with_the_same_key(people: People) -> None:
    rider, key = people.rider(), {HEADER: uuid.uuid4().hex}
    refused = await rider.post("/v1/rides/no-such-ride/rating", {"stars": 5}, **key)
    assert_problem(refused, 404, "not_found")
    again = await rider.post("/v1/rides/no-such-ride/rating", {"stars": 5}, **key)
    assert "Idempotency-Replayed" not in again.headers


@pytest.mark.servers
async def test_of_many_requests_with_one_key_at_once_all_get_the_same_answer(people: People) -> None:
    rider, key = people.rider(), {HEADER: uuid.uuid4().hex}
    answers = await asyncio.gather(*(rider.post("/v1/quotes", TRIP, **key) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["quote_id"] for answer in answers}) == 1


@pytest.mark.servers
async def test_a_quote_that_has_become_a_ride_names_the_ride(people: People) -> None:
    rider = people.rider()
    quote_id = await rider.quote()
    ride = (await rider.post("/v1/rides", {"quote_id": quote_id}, **{HEADER: uuid.uuid4().hex})).json()
    rider.rides.append(ride["ride_id"])
    refused = await rider.post("/v1/rides", {"quote_id": quote_id}, **{HEADER: uuid.uuid4().hex})
    assert ride["ride_id"] in assert_problem(refused, 409, "quote_used")["hint"]
