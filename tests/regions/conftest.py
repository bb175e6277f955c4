"""Two regions for all tests of this folder: one installation, of which the last test sees the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
import pytest_asyncio
import redis

from hexhail.runtime import embedded
from tests.api.installation import Installation, People
from tests.api.two_regions import CITIES, ServedCities, Town, environment, until_ready, url_of, write_city
from tests.patience import PATIENCE_S
from tests.regions.learned import LEARNED, USE_OF_FILES, learn


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def served_cities(
    valkey_port: int, broker_port: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ServedCities]:
    folder = tmp_path_factory.mktemp("regions")
    with redis.Redis(port=valkey_port) as server:
        server.flushall()
    for name in CITIES:
        write_city(folder / name, name)
    with (folder / LEARNED / "city.toml").open("a") as file:
        file.write(USE_OF_FILES)
    learn(folder / LEARNED)
    api_port = next(port for port in iter(embedded.free_port, None) if embedded.is_free(port + 1))
    env = environment(folder, [valkey_port, broker_port, api_port])
    command = [sys.executable, "-m", "hexhail", "serve"]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | env, stdout=log, stderr=log)
    try:
        for number in range(len(CITIES)):
            await until_ready(url_of(env, number), process)
        yield ServedCities(folder, env, process)
    finally:
        process.kill()
        process.wait(PATIENCE_S)


@pytest.fixture
async def towns(served_cities: ServedCities) -> AsyncIterator[dict[str, Town]]:
    folder, env = served_cities.folder, served_cities.env
    async with AsyncExitStack() as stack:
        towns = {}
        for number, (name, city) in enumerate(CITIES.items()):
            http = httpx.AsyncClient(base_url=url_of(env, number), timeout=PATIENCE_S, trust_env=False)
            await stack.enter_async_context(http)
            people = People(Installation(url_of(env, number), env), http)
            towns[name] = Town(people, folder / name, *city[2:4])
        yield towns
