"""Servers and workers as processes that a test may kill, pause and start again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hexhail.runtime import embedded
from tests.patience import PATIENCE_S

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
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
    """A server that can be killed and started again on the same port; its command gets the port and its folder."""

    command: Callable[[int, Path], list[str]]
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as out:
            self.process = subprocess.Popen(
                self.command(self.port, self.folder), cwd=self.folder, stdout=out, stderr=out
            )
        wait_for_port(self.port, self.process)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(PATIENCE_S)

    def forget(self) -> None:
        """Remove what a killed server has kept on disk."""
        shutil.rmtree(self.folder)


def valkey_command(port: int, folder: Path) -> list[str]:
    """Valkey without data on disk."""
    return [*embedded.valkey_command(port, folder), "--appendonly", "no"]


def tansu_command(port: int, folder: Path) -> list[str]:
    return embedded.broker_command(port)


@dataclass
class Worker:
    """`worker.py` in a process of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, within_s: float) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(PATIENCE_S)


def start_worker(broker: Server, valkey: Server, topic: str, folder: Path, *more: str) -> Worker:
    """Start a worker of the topic's group; `more` are options of `worker.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    addresses = [f"kafka://127.0.0.1:{broker.port}", f"redis://127.0.0.1:{valkey.port}"]
    with (folder / "log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, str(FOLDER / "worker.py"), *addresses, topic, str(folder / "data"), *more],
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
            cwd=folder,
        )
    return Worker(process, folder / "log")
