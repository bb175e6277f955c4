"""Real servers on free local ports, and workers as subprocesses of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.location_ingest.processes import Server, Worker, start_worker, tansu_command, valkey_command

# The first example of a test may compile a kernel.
settings.register_profile("hexhail", deadline=None)
settings.load_profile("hexhail")


def running(command: Callable[[int, Path], list[str]], folder: Path) -> Iterator[Server]:
    server = Server(command, folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from running(valkey_command, tmp_path_factory.mktemp("valkey"))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from running(tansu_command, tmp_path_factory.mktemp("broker"))


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Server]:
    yield from running(valkey_command, tmp_path / "valkey")


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Server]:
    yield from running(tansu_command, tmp_path / "broker")


def starting_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(broker: Server, valkey: Server, topic: str, *more: str) -> Worker:
        workers.append(start_worker(broker, valkey, topic, tmp_path_factory.mktemp("worker"), *more))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture(name="start_worker")
def start_own_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    yield from starting_workers(tmp_path_factory)


@pytest.fixture(scope="session")
def start_shared_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    yield from starting_workers(tmp_path_factory)
