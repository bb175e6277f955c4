"""Stores that answer and take no writes are told as such, and nobody is told "ok" who would wait for nobody."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
import redis.asyncio

from backing.sql.scripts import Statement, one
from tests.api.installation import TRIP, People, Valkey, assert_problem
from tests.api.served import Served
from tests.patience import eventually

pytestmark = pytest.mark.servers


async def shared_health(people: People) -> tuple[int, dict[str, str]]:
    answer = await people.http.get("/v1/ops/health")
    return answer.status_code, answer.json()["checks"]


async def refuses(people: People, part: str) -> str | None:
    """The word of the part that refuses, once it has noticed: it remembers an outcome for a second."""
    status, checks = await shared_health(people)
    word = checks[part]
    return word if status == 503 and word.startswith("refuses writes: ") else None


async def is_well(people: People) -> bool:
    return (await shared_health(people))[0] == 200


async def make_replica(client: Any) -> None:
    await client.replicaof("127.0.0.1", 1)


async def make_primary(client: Any) -> None:
    await client.replicaof("NO", "ONE")


async def fill(client: Any) -> None:
    await client.config_set("maxmemory", 1)


async def make_room(client: Any) -> None:
    await client.config_set("maxmemory", "1gb")


@pytest.mark.parametrize(
    ("break_it", "mend_it", "word"),
    [(make_replica, make_primary, "read only replica"), (fill, make_room, "maxmemory")],
    ids=["read-only replica", "full memory"],
)
async def test_a_redis_that_takes_no_writes_is_named_and_requests_are_told_to_come_again(
    served: Served, served_people: People, own_valkey: Valkey, break_it: Any, mend_it: Any, word: str
) -> None:
    rider, late = served_people.rider(), served_people.rider()
    quoted = (await rider.post("/v1/quotes", TRIP)).json()["quote_id"]
    late_quote = (await late.post("/v1/quotes", TRIP)).json()["quote_id"]
    taken_key, key = {"Idempotency-Key": uuid.uuid4().hex}, {"Idempotency-Key": uuid.uuid4().hex}
    taken = await rider.post("/v1/rides", {"quote_id": quoted}, **taken_key)
    assert taken.status_code == 201
    async with redis.asyncio.Redis(port=own_valkey.port) as client:
        await break_it(client)
        assert word in await eventually(lambda: refuses(served_people, "redis"))
        answer = await late.post("/v1/rides", {"quote_id": late_quote}, **key)
        assert_problem(answer, 503, "offers_stopped")
        assert int(answer.headers["retry-after"]) >= 1
        again = await rider.post("/v1/rides", {"quote_id": quoted}, **taken_key)
        assert (again.status_code, again.json()["ride_id"]) == (201, taken.json()["ride_id"])
        await mend_it(client)
        await eventually(lambda: is_well(served_people))
        assert (await late.post("/v1/rides", {"quote_id": late_quote}, **key)).status_code == 201
        assert await client.keys("*probe*") == []


async def test_a_database_that_takes_no_writes_is_not_ready(served: Served, served_people: People) -> None:
    assert (await shared_health(served_people))[1]["sql"] == "ok"
    database: Any = served.edges.operator.rides
    sql = database._database
    assert await sql.read("SELECT COUNT(*) FROM write_probes") == [(0,)]
    await sql.run(lambda: one(Statement("PRAGMA query_only = 1")))
    assert "readonly" in await eventually(lambda: refuses(served_people, "sql"))


async def test_many_who_ask_for_its_health_cost_one_write_a_second(served: Served, served_people: People) -> None:
    await eventually(lambda: is_well(served_people))
    sql: Any = served.edges.operator.rides
    database, written = sql._database, 0
    run = database.run

    async def counted(script: Any) -> Any:
        nonlocal written
        written += 1
        return await run(script)

    database.run = counted
    await asyncio.gather(*(served_people.http.get("/v1/ops/health") for _ in range(50)))
    assert written <= 2


async def test_a_ride_that_nobody_matches_is_taken_with_a_word_that_it_waits(
    served: Served, served_people: People
) -> None:
    rider = served_people.rider()
    quoted = (await rider.post("/v1/quotes", TRIP)).json()["quote_id"]
    body = (await rider.post("/v1/rides", {"quote_id": quoted}, **{"Idempotency-Key": uuid.uuid4().hex})).json()
    assert body["state"] == "REQUESTED"
    assert "No driver is being asked" in body["notice"]
    assert (await shared_health(served_people))[1]["matching"] == "no round is known"


async def test_while_rounds_are_run_there_is_no_such_word(people: People) -> None:
    rider = people.rider()
    await eventually(lambda: runs_rounds(people))
    quoted = (await rider.post("/v1/quotes", TRIP)).json()["quote_id"]
    body = (await rider.post("/v1/rides", {"quote_id": quoted}, **{"Idempotency-Key": uuid.uuid4().hex})).json()
    assert body["notice"] is None
    await rider.post(f"/v1/rides/{body['ride_id']}/cancel")


async def runs_rounds(people: People) -> bool:
    return (await shared_health(people))[1]["matching"] == "ok"
