"""What one rider can do with a valid token: not 150 rides at once, nor 300 quotes, nor a loop of cancellations."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import Any

import pytest

from tests.api.installation import TRIP, People, Rider, assert_problem

pytestmark = pytest.mark.servers


async def request(rider: Rider, quote_id: str) -> Any:
    return await rider.post("/v1/rides", {"quote_id": quote_id}, **{"Idempotency-Key": uuid.uuid4().hex})


async def flags(people: People) -> list[dict[str, Any]]:
    flagged: list[dict[str, Any]] = (await people.operator().get("/v1/ops/flags")).json()["flags"]
    return flagged


async def test_one_rider_has_one_ride_however_many_are_requested_at_once(served_people: People) -> None:
    rider = served_people.rider()
    quotes = [await rider.quote() for _ in range(20)]
    answers = await asyncio.gather(*(request(rider, quote_id) for quote_id in quotes))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert_problem(refused, 409, "too_many_rides")
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_storm_of_quotes_is_refused_and_flagged_and_a_request_makes_room(served_people: People) -> None:
    rider, other = served_people.rider(), served_people.rider()
    answers = await asyncio.gather(*(rider.post("/v1/quotes", TRIP) for _ in range(300)))
    assert Counter(answer.status_code for answer in answers) == {201: 60, 429: 240}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert_problem(refused, 429, "too_many_quotes")
    assert 1 <= int(refused.headers["retry-after"]) <= 300
    assert (await other.post("/v1/quotes", TRIP)).status_code == 201
    storm = [flag for flag in await flags(served_people) if flag["subject"] == rider.id]
    assert [(flag["kind"], flag["count"]) for flag in storm] == [("quote_storm", 60)]
    taken = next(answer for answer in answers if answer.status_code == 201)
    assert (await request(rider, taken.json()["quote_id"])).status_code == 201
    assert (await rider.post("/v1/quotes", TRIP)).status_code == 201
    assert (await rider.post("/v1/quotes", TRIP)).status_code == 429


async def test_a_loop_of_cancellations_ends_with_a_flag_and_every_ride_can_be_cancelled(served_people: People) -> None:
    rider = served_people.rider()
    for _ in range(10):
        ride_id = (await request(rider, await rider.quote())).json()["ride_id"]
        for _ in range(2):  # said again it counts once
            assert (await rider.post(f"/v1/rides/{ride_id}/cancel")).status_code == 200
    refused = await request(rider, await rider.quote())
    assert_problem(refused, 429, "too_many_cancellations")
    assert 3000 <= int(refused.headers["retry-after"]) <= 3600
    found = [(flag["kind"], flag["count"]) for flag in await flags(served_people) if flag["subject"] == rider.id]
    assert found == [("cancel_loop", 10)]


async def test_many_riders_at_one_point_who_may_still_decide_are_not_flagged(served_people: People) -> None:
    """Those who had the time and took no quote are: `tests/workflows/test_swarms.py`, in city time."""
    for _ in range(21):
        assert (await served_people.rider().post("/v1/quotes", TRIP)).status_code == 201
    assert [flag for flag in await flags(served_people) if flag["kind"] == "swarm"] == []
