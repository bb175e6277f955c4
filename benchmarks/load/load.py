"""Load by locust in steps: requests a second, over REST and WebSocket, until offers come late, and what is full then.

Drivers ping each 4 s along the roads; new riders arrive whether or not those before have been answered. Most cancel
once a driver is on the way, so that there are cars for any rate. `make load` shows the same people on a web page.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.common.measure import Report
from benchmarks.load.locust_processes import LoadParams, StepParams, headless_commands, running, tail, wait_for_end
from benchmarks.load.steps import LoadReport, late_ms_of
from hexhail.demo.demo import ROLES_OF_DEMO, Demo, DemoParams, running_city

#: Options of the command line that `run` takes.
OPTIONS = ("drivers", "workers")
#: Most cancel: a car then serves many requests in the time of one ride.
CANCEL_SHARE = 0.95


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    drivers: int
    rates: tuple[int, ...]
    step_s: float


FULL = Size(drivers=2_000, rates=(5, 10, 20, 40, 80, 160), step_s=20.0)
SMALL = Size(drivers=10, rates=(1,), step_s=3.0)


def run(small: bool, report: Report, drivers: int | None = None, workers: int = 0) -> None:
    """Measure; about five minutes."""
    size = SMALL if small else FULL
    params = LoadParams(drivers=drivers or size.drivers, cancel_share=CANCEL_SHARE, workers=workers)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = asyncio.run(_measure(Path(folder), params, size))
    _tell(found, report)


async def _measure(folder: Path, params: LoadParams, size: Size) -> LoadReport:
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", f"{folder}/numba")).parent
    async with running_city(DemoParams(run_dir=folder / "run", cache_dir=cache, speed=1.0, port=0), print) as demo:
        steps = StepParams(size.rates, size.step_s, folder / "report.json", _pids(demo))
        return await in_steps(demo.public_url, demo.env, params, steps, folder)


def _pids(demo: Demo) -> dict[str, int]:
    pids = {name: demo.supervisor.pid(name) for name in (*ROLES_OF_DEMO, "valkey", "broker")}
    return {name: pid for name, pid in pids.items() if pid is not None}


async def in_steps(url: str, env: dict[str, str], params: LoadParams, steps: StepParams, folder: Path) -> LoadReport:
    """Run the steps against a running city and return what they showed; logs go to the folder.

    Raises RuntimeError with the end of its log if locust fails.
    """
    commands = headless_commands(url, params, steps)
    leader = next(iter(commands))
    with running(commands, env, folder) as processes:
        code = await asyncio.to_thread(wait_for_end, processes)
    if code != 0 or not steps.report.is_file():
        raise RuntimeError(f"locust ended with {code}; its last words:\n{tail(folder / f'{leader}.log')}")
    return msgspec.json.decode(steps.report.read_bytes(), type=LoadReport)


def _tell(found: LoadReport, report: Report) -> None:
    names = list(dict.fromkeys(name for step in found.steps for name in step.cpu))
    header = ["new riders/s", "drivers", "free", "pings/s", "requests/s", "offered", "of", "p50 ms", "p99 ms"]
    header += ["p99 - window", "errors", "machine", *names]
    rows = [
        [
            step.rate, step.drivers, step.idle, step.pings_per_s, step.requests_per_s, step.offered, step.requested,
            step.p50_ms, step.p99_ms, late_ms_of(step, found.window_ms), step.errors, step.machine_share,
            *(step.cpu.get(name, float("nan")) for name in names),
        ]
        for step in found.steps
    ]  # fmt: skip
    title = (
        f"From request to offer, window {found.window_ms:.0f} ms; machine: share of all cores; then cores by process"
    )
    report.table(title, header, rows)
    kept_up = [step for step in found.steps if not (found.stopped and step is found.steps[-1])]
    report.figure(
        "requests a second with which it kept up", max((s.requests_per_s for s in kept_up), default=0.0), "/s"
    )
    report.figure("failed requests and streams", sum(found.errors.values()), "")
    for error, times in found.errors.items():
        report.note(f"{times} x {error}")
    report.note(f"rides of the run ended: {found.ended}")
    report.note(f"stopped: {found.stopped}; at its limit: {found.bottleneck}" if found.stopped else "all steps kept up")
    report.note("riders, drivers, servers and services share the machine's cores")
