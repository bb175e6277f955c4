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
from pathlib import Path

import numpy as np

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
#: After which the server should have closed connections with half a head.
PATIENT_S = 15.0
TRIP = {"pickup": {"lat_deg": 40.7580, "lng_deg": -73.9855}, "dropoff": {"lat_deg": 40.7359, "lng_deg": -73.9911}}


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
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            for number in range(first, count, CONNECTIONS):
                due_s = began_s + number * QUOTE_EVERY_S
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                writer.write(self._requests[number % RIDERS])
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                assert head.startswith(b"http/1.1 201"), head
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                took_ms.append(1e3 * (time.perf_counter() - due_s))
            writer.close()

        await asyncio.gather(*map(some, range(CONNECTIONS)))
        return np.array(took_ms)


def resident_mb(processes: Processes) -> float:
    """Memory of the API process at the moment."""
    lines = Path(f"/proc/{processes.running['api'].pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def _beside(processes: Processes, quotes: Quotes, kind: str, token: str, seconds_s: float) -> list[object]:
    """A row of the table: quotes while one kind of flood goes on."""
    before_mb = resident_mb(processes)
    command = [sys.executable, "-m", "benchmarks.api.flood", str(processes.api_port), kind, str(seconds_s)]
    flooding = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert flooding.stdin is not None
    flooding.stdin.write(f"{token}\n".encode())
    flooding.stdin.flush()
    await asyncio.sleep(0.5)
    most_mb = before_mb

    async def watch() -> None:
        nonlocal most_mb
        while True:
            most_mb = max(most_mb, resident_mb(processes))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    took_ms = await quotes.ask(seconds_s - 0.5)
    watching.cancel()
    said = (await asyncio.to_thread(flooding.communicate))[0].split()
    return _row(kind, took_ms, most_mb - before_mb, float(said[0]), float(said[1]))


def _row(name: str, took_ms: np.ndarray, *more: float) -> list[object]:
    return [name, *(float(np.percentile(took_ms, q)) for q in (50, 99, 100)), *more]


async def _measure(processes: Processes, report: Report, seconds_s: float, heads: int, patient_s: float) -> None:
    tokens = Tokens(KeyRing(SECRETS))
    quotes = Quotes(processes.api_port, tokens)
    await quotes.ask(seconds_s)
    usual = _row("nobody abuses it", await quotes.ask(2 * seconds_s), 0.0, 0.0, 0.0)
    rows = [usual]
    for kind in KINDS:
        token = tokens.issue(Role.DRIVER, f"abuser-{kind.replace(' ', '-')}")
        rows.append(await _beside(processes, quotes, kind, token, seconds_s))
        await asyncio.sleep(1.0)
    before_mb = resident_mb(processes)
    sockets = await asyncio.to_thread(half_heads, processes.api_port, heads)
    rows.append(
        _row(f"{heads} half heads", await quotes.ask(patient_s), resident_mb(processes) - before_mb, heads, 0.0)
    )
    open_now = still_open(sockets)
    for one in sockets:
        one.close()
    rows.append(_row("nobody any more", await quotes.ask(seconds_s), 0.0, 0.0, 0.0))
    header = ["beside", "quotes p50 ms", "p99 ms", "slowest ms", "memory MB more", "connected", "MB sent"]
    report.table("Quotes of other riders", header, rows)
    worst = max(rows[1:-2], key=lambda row: float(str(row[2])))
    report.figure(f"p99 beside {worst[0]}, over the usual", float(str(worst[2])) / float(str(usual[2])), "times")
    report.figure(f"of {heads} connections with half a head, open after {patient_s:g} s", open_now, "")


def run(small: bool, report: Report) -> None:
    """Measure; about two minutes."""
    limits.raise_open_files()
    with servers() as processes:
        processes.start("api", "hexhail", "serve", "api")
        asyncio.run(embedded.wait_for_port(processes.api_port, "the API", 90.0))
        asyncio.run(_measure(processes, report, *((2.0, 20, 2.0) if small else (12.0, HALF_HEADS, PATIENT_S))))
    report.note(f"load average at the end: {os.getloadavg()[0]:.1f}")
