"""Starts the servers and processes of the product, for benchmarks of more than one process."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hexhail.runtime import embedded

SECRETS = {"k1": "a key of the benchmark, good for nothing else"}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Processes:
    """The running servers and processes of the product, by name."""

    folder: Path
    broker_port: int
    redis_port: int
    api_port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of `hexhail serve`."""
        return {
            "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "HEXHAIL_BROKER_URL": f"127.0.0.1:{self.broker_port}",
            "HEXHAIL_BROKER_SESSION_TIMEOUT_S": "3",
            "HEXHAIL_DATABASE_URL": f"sqlite:///{self.folder / 'rides.db'}",
            "HEXHAIL_API_PORT": str(self.api_port),
            "HEXHAIL_INTERNAL_PORT": str(self.api_port),
            "HEXHAIL_DATA_DIR": str(self.folder / "workers"),
            "HEXHAIL_TOKEN_SECRETS": json.dumps(SECRETS),
        }

    @property
    def addresses(self) -> list[str]:
        """Broker and Redis, as the processes take them."""
        return [f"kafka://127.0.0.1:{self.broker_port}", f"redis://127.0.0.1:{self.redis_port}"]

    def start(self, name: str, *module: str) -> None:
        """Start a process of this repository, settings for an installation included; its output goes to the folder."""
        with (self.folder / f"{name}.log").open("wb") as out:
            command = [sys.executable, "-m", *module]
            self.running[name] = subprocess.Popen(command, env=os.environ | self.settings, stdout=out, stderr=out)

    def stop(self, *names: str) -> None:
        """Kill processes and wait for their end."""
        for name in names:
            process = self.running.pop(name)
            process.kill()
            process.wait(10)

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds each process has spent so far."""
        return {name: cpu_s_of(process.pid) for name, process in self.running.items()}


def cpu_s_of(pid: int) -> float:
    """Return the CPU seconds that a process has spent so far. Raises OSError where there is none."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@contextmanager
def servers() -> Iterator[Processes]:
    """Redis and a broker, and whatever is started beside them; all are gone at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        processes = Processes(folder, *embedded.free_ports(3))
        commands = {
            "Redis": embedded.valkey_command(processes.redis_port, folder / "valkey"),
            "broker": embedded.broker_command(processes.broker_port),
        }
        try:
            for name, command in commands.items():
                processes.running[name] = subprocess.Popen(
                    command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            for port in (processes.redis_port, processes.broker_port):
                asyncio.run(embedded.wait_for_port(port, "a server"))
            yield processes
        finally:
            processes.stop(*processes.running)
