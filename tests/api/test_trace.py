"""What an operator reads about a ride's matching rounds."""

from __future__ import annotations

import pytest

from tests.api.installation import People, assert_problem
from tests.patience import eventually

pytestmark = pytest.mark.servers


async def test_an_operator_reads_who_was_asked_and_why_no_other(people: People) -> None:
    rider, driver, operator = people.rider(), people.driver(), people.operator()
    async with driver.on_shift() as told:
        ride_id = await rider.request_ride()
        await told.event("OfferSent", ride_id=ride_id)

        async def written() -> list[dict[str, object]]:
            rounds: list[dict[str, object]] = (await operator.get(f"/v1/ops/rides/{ride_id}/trace")).json()["rounds"]
            return rounds

        rounds = await eventually(written)  # beside the round
    newest = rounds[0]
    assert newest["asked"] == driver.id
    assert newest["policy"] == "optimal"
    candidates = newest["candidates"]
    assert isinstance(candidates, list)
    assert (candidates[0]["driver_id"], candidates[0]["reason"], candidates[0]["words"]) == (driver.id, None, None)
    assert sum(candidates[0]["terms"].values()) == pytest.approx(candidates[0]["score"], abs=0.01)


async def test_there_is_no_trace_of_a_ride_that_never_was(people: People) -> None:
    assert_problem(await people.operator().get("/v1/ops/rides/never/trace"), 404, "not_found")
