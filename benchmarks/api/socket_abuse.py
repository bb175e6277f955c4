"""What other riders' quotes wait for while one person abuses the API: floods of a stream's frames, half-sent heads.

The role `api` as it is served, with real servers, on loopback; the abuser is a process of its own that connects again
at once when it is cut off. Quotes are asked at a steady rate whatever the answers take, each by another rider, and are
timed from when they were due. Memory is of the API process.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from api.auth.token_keys import TokenKeys
from api.auth.tokens import Role, Tokens
from benchmarks.api.flood import KINDS, half_heads, still_open
from benchmarks.common.http_load import post
from benchmarks.common.measure import Report
from benchmarks.common.processes import SECRETS, Processes, servers
from hexhail.runtime import embedded, limits
from kernel.keyring import KeyRing

QUOTE_EVERY_S = 0.04
RIDERS = 200
CONNECTIONS = 20
HALF_HEADS = 1_500
#: With and without a flood by turns; each flood by another person, so that each begins with a full budget.
TURNS = 3
#: After which the server should have closed connections with half a head.
PATIENT_S = 15.0
TRIP = {"pickup": {"lat_deg": 40.7580, "lng_deg": -73.9855}, "dropoff": {"lat_deg": 40.7359, "lng_deg": -73.9911}}


class Connection:
    """A connection that is made anew when the server closes it: after a stall, idle ones have outlived their time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> None:
        """Send a request until it is answered."""
        while True:
            try:
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
                self._writer.write(request)
                head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
                assert head.startswith(b"http/1.1 201"), head
                await self._reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()
            else:
                return

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Quotes:
    """Asks for quotes at a steady rate; each connection has one under way at a time."""

    def __init__(self, port: int, tokens: Tokens) -> None:
        body = json.dumps(TRIP).encode()
        self._port = port
        self._requests = [post("/v1/quotes", tokens.issue(Role.RIDER, f"rider-{n}"), body) for n in range(RIDERS)]

    async def ask(self, seconds_s: float) -> np.ndarray:
        """Return the milliseconds from when each quote was due to its answer."""
        began_s, took_ms = time.perf_counter(), []
        count = round(seconds_s / QUOTE_EVERY_S)

        async def some(first: int) -> None:
            connection = Connection(self._port)
            for number in range(first, count, CONNECTIONS):
                due_s = began_s + number * QUOTE_EVERY_S
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                await connection.ask(self._requests[number % RIDERS])
                took_ms.append(1e3 * (time.perf_counter() - due_s))
            connection.close()

        await asyncio.gather(*map(some, range(CONNECTIONS)))
        return np.array(took_ms)


def resident_mb(processes: Processes) -> float:
    """Memory of the API process at the moment."""
    lines = Path(f"/proc/{processes.running['api'].pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@dataclass
class Beside:
    """Quotes while something goes on, and in turns while nothing does: other work on the machine then meets both."""

    usual_ms: list[np.ndarray] = field(default_factory=list)
    took_ms: list[np.ndarray] = field(default_factory=list)
    more_mb: float = 0.0
    connected: float = 0.0
    sent_mb: float = 0.0

    @property
    def ratio(self) -> float:
        """The 99th percentile over the usual one."""
        return float(np.percentile(np.concatenate(self.took_ms), 99) / np.percentile(np.concatenate(self.usual_ms), 99))

    def row(self, name: str) -> list[object]:
        """As a row of the table."""
        usual_ms, took_ms = np.concatenate(self.usual_ms), np.concatenate(self.took_ms)
        quantiles = [float(np.percentile(ms, q)) for ms in (usual_ms, took_ms) for q in (50, 99)]
        return [name, *quantiles, float(took_ms.max()), self.ratio, self.more_mb, self.connected, self.sent_mb]


async def _flood_beside(
    processes: Processes, quotes: Quotes, kind: str, token: str, seconds_s: float, found: Beside
) -> None:
    """Ask for quotes while one kind of flood goes on."""
    before_mb = resident_mb(processes)
    command = [sys.executable, "-m", "benchmarks.api.flood", str(processes.api_port), kind, str(seconds_s)]
    flooding = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert flooding.stdin is not None
    assert flooding.stdout is not None
    await asyncio.to_thread(flooding.stdout.readline)  # its start would take CPU from what is measured
    flooding.stdin.write(f"{token}\n".encode())
    flooding.stdin.flush()

    async def watch() -> None:
        while True:
            found.more_mb = max(found.more_mb, resident_mb(processes) - before_mb)
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    found.took_ms.append(await quotes.ask(seconds_s))
    watching.cancel()
    said = (await asyncio.to_thread(flooding.communicate))[0].split()
    found.connected += float(said[0])
    found.sent_mb += float(said[1])


async def _half_heads_beside(processes: Processes, quotes: Quotes, count: int, patient_s: float, found: Beside) -> int:
    """Ask for quotes while connections with half a head are open; return how many of them are at the end."""
    before_mb = resident_mb(processes)
    found.usual_ms.append(await quotes.ask(patient_s))
    sockets = await asyncio.to_thread(half_heads, processes.api_port, count)
    found.took_ms.append(await quotes.ask(patient_s))
    found.more_mb, found.connected = resident_mb(processes) - before_mb, count
    open_now = still_open(sockets)
    for one in sockets:
        one.close()
    return open_now


async def _measure(processes: Processes, report: Report, seconds_s: float, heads: int, patient_s: float) -> None:
    tokens = Tokens(TokenKeys.of_secrets(KeyRing(SECRETS)))
    quotes = Quotes(processes.api_port, tokens)
    await quotes.ask(seconds_s)
    found: dict[str, Beside] = {kind: Beside() for kind in KINDS}
    for turn in range(TURNS):
        for kind, beside in found.items():
            token = tokens.issue(Role.DRIVER, f"abuser-{turn}-{kind.replace(' ', '-')}")
            beside.usual_ms.append(await quotes.ask(seconds_s))
            await _flood_beside(processes, quotes, kind, token, seconds_s, beside)
    halves = found[f"{heads} half heads"] = Beside()
    open_now = await _half_heads_beside(processes, quotes, heads, patient_s, halves)
    header = ["beside", "usual p50 ms", "p99 ms", "quotes p50 ms", "p99 ms", "slowest ms", "p99 over the usual"]
    header += ["memory MB more", "connected", "MB sent"]
    report.table("Quotes of other riders", header, [beside.row(name) for name, beside in found.items()])
    report.figure("p99 over the usual, at most", max(beside.ratio for beside in found.values()), "times")
    report.figure(f"of {heads} connections with half a head, open after {patient_s:g} s", open_now, "")


def run(small: bool, report: Report) -> None:
    """Measure; about two minutes."""
    limits.raise_open_files()
    with servers() as processes:
        processes.start("api", "hexhail", "serve", "api")
        asyncio.run(embedded.wait_for_port(processes.api_port, "the API", 90.0))
        asyncio.run(_measure(processes, report, *((1.0, 20, 2.0) if small else (4.0, HALF_HEADS, PATIENT_S))))
    report.note(f"load average at the end: {os.getloadavg()[0]:.1f}")
