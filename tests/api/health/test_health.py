"""Three questions of monitoring, asked of every role of a running city."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import prometheus_client
import pytest

from api.streams.drain import DrainTimes
from hexhail.demo.demo import ROLES_OF_DEMO
from tests.api.installation import Installation, People, Valkey
from tests.api.served import Served, serving
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.servers

OTHER_ROLES = [role for role in ROLES_OF_DEMO if role != "api"]
#: What an operator has to see of a role beside its counters.
FIGURES = {
    "relay": ("hexhail_outbox_unpublished", "hexhail_outbox_oldest_unpublished_city_seconds"),
    "matcher": (
        'hexhail_matching_owner{region="manhattan"} 1.0',
        'hexhail_matching_last_round_timestamp_seconds{region="manhattan"}',
        'hexhail_matching_oldest_request_city_seconds{region="manhattan"}',
    ),
    "ingester": ("hexhail_ping_log_lag",),
    "pricer": (
        'hexhail_pricing_owner{region="manhattan"} 1.0',
        'hexhail_pricing_last_tick_timestamp_seconds{region="manhattan"}',
    ),
    "traffic": ('hexhail_traffic_owner{region="manhattan"} 1.0',),
}


@pytest.mark.parametrize("role", OTHER_ROLES)
async def test_every_role_says_that_it_lives_that_it_is_ready_and_what_it_does(
    installation: Installation, role: str
) -> None:
    url = f"http://127.0.0.1:{installation.ports[f'{role}_metrics']}"
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok", "checks": {role: "ok"}}

        async def is_ready() -> bool:
            return (await http.get("/readyz")).json() == {"status": "ok", "checks": {role: "ready"}}

        async def tells() -> bool:
            text = (await http.get("/metrics")).text
            return all(figure in text for figure in FIGURES[role])

        await eventually(is_ready)
        await eventually(tells)


async def test_the_matcher_says_how_long_the_oldest_request_has_waited(
    installation: Installation, people: People
) -> None:
    ride_id = await people.rider().request_ride()
    url = f"http://127.0.0.1:{installation.ports['matcher_metrics']}/metrics"
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:

        async def has_waited() -> bool:
            name = 'hexhail_matching_oldest_request_city_seconds{region="manhattan"}'
            lines = (await http.get(url)).text.splitlines()
            return any(line.startswith(name) and float(line.split()[-1]) >= 1.0 for line in lines)

        await eventually(has_waited, every_s=0.1)
    assert ride_id


async def test_the_api_is_ready_by_itself_and_tells_of_the_shared_parts_elsewhere(people: People) -> None:
    ready = await people.http.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (200, {"process": "ready"})
    shared = await people.http.get("/v1/ops/health")
    assert (shared.status_code, set(shared.json()["checks"])) == (200, {"redis", "broker", "sql", "matching"})


@asynccontextmanager
async def draining(
    own_valkey: Valkey, installation: Installation, folder: Path, times: DrainTimes
) -> AsyncIterator[tuple[Served, People]]:
    """An API of the test's own that takes these times to stop."""
    async with (
        serving(own_valkey.port, installation.broker_port, folder, times) as served,
        httpx.AsyncClient(base_url=served.url, timeout=PATIENCE_S, trust_env=False) as http,
        People(served, http) as people,
    ):
        yield served, people


def terminate(served: Served) -> None:
    """Do what SIGTERM does in a process of its own."""
    served.server.handle_exit(signal.SIGTERM, None)
    served.server._captured_signals.clear()  # else it would be raised at the end


async def is_unready(people: People) -> bool:
    return (await people.http.get("/readyz")).status_code == 503


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each app in this process counts anew."""
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())


async def test_an_api_that_is_told_to_stop_serves_on_unready_and_then_ends_its_streams_with_1012(
    own_valkey: Valkey, installation: Installation, tmp_path: Path
) -> None:
    async with draining(own_valkey, installation, tmp_path, DrainTimes(2.0, 1.0)) as (served, people):
        async with people.rider().stream() as early, people.rider().stream() as late:
            assert not await is_unready(people)
            terminate(served)
            await eventually(lambda: is_unready(people))
            answer = await people.http.get("/healthz")
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            async with people.rider().stream() as newcomer:  # whoever sent it did not know yet
                assert [await stream.close_code() for stream in (early, late, newcomer)] == [1012] * 3
        async with asyncio.timeout(PATIENCE_S):
            await served.serving


async def test_a_second_signal_ends_a_draining_api_at_once(
    own_valkey: Valkey, installation: Installation, tmp_path: Path
) -> None:
    async with draining(own_valkey, installation, tmp_path, DrainTimes(1e6, 1e6)) as (served, people):
        async with people.rider().stream() as stream:
            terminate(served)
            await eventually(lambda: is_unready(people))
            terminate(served)
            assert await stream.close_code() == 1012
        async with asyncio.timeout(PATIENCE_S):
            await served.serving
