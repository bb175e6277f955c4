"""What operators can do about prices, on a whole installation."""

from __future__ import annotations

import pytest

from geo.cells import cells_to_strings, latlng_to_cells
from tests.api.installation import TRIP, People, assert_problem

pytestmark = pytest.mark.servers

#: Inwood, where no test asks for a ride.
[CELL] = cells_to_strings(latlng_to_cells(40.868, -73.921, 8))
#: At the north end of Manhattan, where no test asks for a ride.
QUIET_CELL = "882a100a17fffff"


async def test_a_freeze_brings_quotes_to_the_base_at_once_and_stays_on_record(people: People) -> None:
    operator, rider = people.operator(), people.rider()
    frozen = await operator.post("/v1/ops/surge/freeze", {"reason": "a flood"})
    assert frozen.status_code == 200
    assert (frozen.json()["is_frozen"], frozen.json()["operator"]) == (True, operator.id)
    assert (await rider.post("/v1/quotes", TRIP)).json()["surge_multiplier"] == 1.0
    await operator.post("/v1/ops/surge/unfreeze", {"reason": "the water is gone"})
    orders = (await operator.get("/v1/ops/surge/orders")).json()["orders"]
    assert [order["reason"] for order in orders[:2]] == ["the water is gone", "a flood"]


async def test_a_freeze_needs_a_reason(people: People) -> None:
    operator = people.operator()
    assert_problem(await operator.post("/v1/ops/surge/freeze", {"reason": ""}), 422, "invalid")
    assert_problem(await operator.post("/v1/ops/surge/freeze", {}), 422, "invalid")


async def test_the_history_of_a_cell_that_never_moved_is_empty_and_of_no_cell_is_refused(people: People) -> None:
    operator = people.operator()
    far_in_time = f"/v1/ops/surge/history?cell={CELL}&since=4e9"
    assert (await operator.get(far_in_time)).json() == {"cell": CELL, "changes": []}
    assert_problem(await operator.get("/v1/ops/surge/history?cell=nowhere"), 422, "invalid_cell")


async def test_a_cell_tells_its_multiplier_and_what_it_brings_drivers_on_top(people: People) -> None:
    body = (await people.driver().get(f"/v1/surge?cell={QUIET_CELL}")).json()
    assert body["cell"] == QUIET_CELL
    assert (body["bonus_cents"] > 0) == (body["multiplier"] > 1.0), body
    assert body["updated_s"] is not None or body["multiplier"] == 1.0
