"""The API over PostgreSQL: a commit that nobody can vouch for, and answers from a replica.

Another database stands for the replica, so that each answer tells where it is from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import prometheus_client
import pytest

from hexhail.runtime.database import open_database
from tests.api.installation import Installation, People, Valkey, assert_problem
from tests.api.served import Served, serving
from tests.backing.sql.test_postgres_outages import at_commit, slow_commit, socket_of, through
from tests.patience import PATIENCE_S, eventually
from tests.postgres.servers import Door

pytestmark = pytest.mark.servers

#: A cell of Manhattan's surge resolution.
CELL = "882a100d65fffff"


@pytest.fixture
async def replica_url(postgres_url: str) -> AsyncIterator[str]:
    """A database with tables and without rows."""
    server = await asyncpg.connect(postgres_url)
    await server.execute("DROP DATABASE IF EXISTS replica WITH (FORCE)")
    await server.execute("CREATE DATABASE replica")
    base, _, query = postgres_url.partition("?")
    url = f"{base.rpartition('/')[0]}/replica?{query}"
    await (await open_database(url)).close()
    yield url
    await server.execute("DROP DATABASE IF EXISTS replica WITH (FORCE)")
    await server.close()


@pytest.fixture
async def door(postgres_url: str) -> AsyncIterator[Door]:
    """Through which the API reaches its database."""
    door = Door(socket_of(postgres_url))
    await door.open()
    yield door
    await door.close()


@pytest.fixture
async def served(
    own_valkey: Valkey,
    installation: Installation,
    postgres_url_of_own: str,
    door: Door,
    replica_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Served]:
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    urls = {"database_url": through(postgres_url_of_own, door), "database_replica_url": replica_url}
    async with serving(own_valkey.port, installation.broker_port, tmp_path, **urls) as served:
        yield served


@pytest.fixture
async def people(served: Served) -> AsyncIterator[People]:
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=PATIENCE_S, trust_env=False) as client,
        People(served, client) as people,
    ):
        yield people


async def test_only_history_and_figures_are_read_at_the_replica_and_at_the_primary_when_it_is_gone(
    people: People, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, rider = people.operator(), people.rider()
    ended = await rider.request_ride()
    answer = await operator.post(f"/v1/ops/rides/{ended}/cancel", {"reason": "a flood"})
    assert answer.status_code == 200, answer.text
    open_ride = await people.rider().request_ride()

    for path in ("/v1/ops/interventions", f"/v1/ops/rides/{ended}/interventions"):
        answer = await operator.get(path)
        assert (answer.json(), answer.headers["data-age-s"]) == ({"interventions": []}, "0.000")
    assert (await operator.get(f"/v1/ops/surge/history?cell={CELL}")).headers["data-age-s"] == "0.000"
    figures = (await operator.get("/v1/ops/figures")).json()
    assert (figures["rides_cancelled"], figures["rides_age_s"]) == (0, 0.0)

    assert figures["requests_open"] == 1
    assert (await rider.ride(ended))["state"] == "CANCELLED"
    assert (await operator.get(f"/v1/ops/rides/{open_ride}")).json()["state"] == "REQUESTED"
    assert (await operator.get(f"/v1/ops/rides/{open_ride}/trace")).status_code == 200
    assert (await operator.get("/v1/ops/totals")).json()["events_committed"] == 3
    frozen = await operator.post("/v1/ops/surge/freeze", {"reason": "a flood"})
    assert frozen.status_code == 200
    assert len((await operator.get("/v1/ops/surge/orders")).json()["orders"]) == 1
    driver = people.driver()
    await driver.post("/v1/drivers/me/status", {"status": "online"})
    assert (await people.http.get("/v1/ops/health")).json()["checks"]["sql"] == "ok"

    server = await asyncpg.connect(postgres_url)
    await server.execute("DROP DATABASE replica WITH (FORCE)")
    await server.close()
    answer = await operator.get("/v1/ops/interventions")
    assert [one["ride_id"] for one in answer.json()["interventions"]] == [ended]


async def test_a_request_whose_commit_was_lost_is_told_so_and_sent_again_with_its_key_it_is_answered(
    people: People, postgres_url_of_own: str, door: Door
) -> None:
    rider, server = people.rider(), await asyncpg.connect(postgres_url_of_own)
    request, key = {"quote_id": await rider.quote()}, {"Idempotency-Key": "a-key-of-the-test"}
    await server.execute(slow_commit(1))
    asking = asyncio.create_task(rider.post("/v1/rides", request, **key))
    await eventually(lambda: server.fetch(at_commit("1")))
    door.break_off()
    answer = await asking
    assert "Idempotency-Key" in assert_problem(answer, 503, "outcome_unknown")["hint"]
    assert int(answer.headers["retry-after"]) >= 1

    answer = await rider.post("/v1/rides", request, **key)
    assert answer.status_code == 201, answer.text
    rows = await server.fetch("SELECT ride_id FROM rides")
    assert [ride_id for (ride_id,) in rows] == [answer.json()["ride_id"]]
    await server.close()
