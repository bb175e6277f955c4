"""A rider has as many rides that have not ended as the region allows, however many requests come at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatch.errors import TooManyRides
from dispatch.service.rides import RideService
from tests.dispatch.people import PARAMS, Clock, MemoryLeases, request, rider_cancels


def limited(store: Any, open_rides_max: int) -> RideService:
    return RideService(store, MemoryLeases(), PARAMS, Clock(), open_rides_max=open_rides_max)


@pytest.mark.parametrize("at_most", [1, 3])
async def test_of_many_requests_at_once_as_many_are_taken_as_one_rider_may_have(store: Any, at_most: int) -> None:
    """All 150 were taken before."""
    rides = limited(store, at_most)
    asked = [rides.handle(request(f"ride-{number}", "alice")) for number in range(150)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooManyRides)]
    assert len(refused) == 150 - at_most
    assert await store.count_rides() == {"REQUESTED": at_most}


async def test_another_rider_and_a_ride_that_ended_leave_room(store: Any) -> None:
    rides = limited(store, 1)
    await rides.handle(request("one", "alice"))
    await rides.handle(request("two", "bob"))
    with pytest.raises(TooManyRides, match="at most 1; one is one"):
        await rides.handle(request("three", "alice"))
    await rides.handle(rider_cancels("one", "alice"))
    await rides.handle(request("three", "alice"))


async def test_without_a_limit_everything_is_taken(store: Any) -> None:
    rides = limited(store, 0)
    for number in range(5):
        await rides.handle(request(f"ride-{number}", "alice"))
    assert await store.count_rides() == {"REQUESTED": 5}
