"""Operators hold a list of who may drive; without one everybody may."""

from __future__ import annotations

import pytest

from tests.api.installation import People, assert_problem

pytestmark = pytest.mark.servers

ONLINE = {"status": "online"}


async def test_who_is_not_on_the_list_cannot_start_a_shift(people: People) -> None:
    listed, other, operator = people.driver(), people.driver(), people.operator()
    assert (await operator.get("/v1/ops/drivers")).json() == {
        "is_begun": False,
        "drivers": [],
    }
    nothing = await operator.post("/v1/ops/drivers/remove", {"driver_id": other.id})
    assert_problem(nothing, 409, "no_driver_list")
    assert (await other.post("/v1/drivers/me/status", ONLINE)).status_code == 200

    answer = await operator.post("/v1/ops/drivers/add", {"driver_ids": [listed.id]})
    try:
        assert answer.json()["is_begun"]
        assert [(one["driver_id"], one["operator"]) for one in answer.json()["drivers"]] == [(listed.id, operator.id)]
        assert (await listed.post("/v1/drivers/me/status", ONLINE)).status_code == 200
        assert (await other.post("/v1/drivers/me/status", {"status": "offline"})).status_code == 200
        problem = assert_problem(await other.post("/v1/drivers/me/status", ONLINE), 403, "driver_not_listed")
        assert "list" in problem["detail"]

        removed = await operator.post("/v1/ops/drivers/remove", {"driver_id": listed.id})
        assert removed.json() == {"driver_id": listed.id, "is_on_shift": False}
        assert_problem(await listed.post("/v1/drivers/me/status", ONLINE), 403, "driver_not_listed")
    finally:
        opened = await operator.post("/v1/ops/drivers/open", {})
    assert opened.json() == {"is_begun": False, "drivers": []}
    assert (await other.post("/v1/drivers/me/status", ONLINE)).status_code == 200
