"""One installation for all tests of the API: every server and every process, with nobody in the city."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import prometheus_client
import pytest
import pytest_asyncio

from hexhail.demo.demo import DemoParams, running_city
from hexhail.runtime import embedded
from hexhail.runtime.kernel_cache import cache_dir
from tests.api.installation import SPEED, Installation, People, Valkey
from tests.api.served import Served, serving
from tests.api.witness import Witness
from tests.patience import PATIENCE_S


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    run_dir = tmp_path_factory.mktemp("installation")
    async with running_city(DemoParams(run_dir=run_dir, cache_dir=cache_dir(), speed=SPEED, port=0), print) as demo:
        yield Installation(demo.url, demo.env, ports=demo.ports)


@pytest.fixture(scope="package")
def witness(installation: Installation) -> Witness:
    """Sees every answer of the installation in every test."""
    return Witness(httpx.get(f"{installation.url}/openapi.json", trust_env=False).json())


@pytest.fixture
async def http(installation: Installation, witness: Witness) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=installation.url, timeout=PATIENCE_S, trust_env=False, event_hooks={"response": [witness]}
    ) as client:
        yield client


@pytest.fixture
async def people(installation: Installation, http: httpx.AsyncClient) -> AsyncIterator[People]:
    async with People(installation, http) as people:
        yield people


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of the test's own, which it may kill and start again."""
    valkey = Valkey(embedded.free_port(), tmp_path / "valkey")
    valkey.start()
    yield valkey
    valkey.kill()


@pytest.fixture
async def served(
    own_valkey: Valkey, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    """The API in this process, over a Valkey and a database of its own and the installation's broker."""
    # The next app in this process counts anew.
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    async with serving(own_valkey.port, installation.broker_port, tmp_path) as served:
        yield served


@pytest.fixture
async def served_people(served: Served) -> AsyncIterator[People]:
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=PATIENCE_S, trust_env=False) as client,
        People(served, client) as people,
    ):
        yield people
