"""Process supervisor: starts processes, restarts them when they die, and stops all of them at the end."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from backing.retry import Backoff

log = structlog.get_logger(__name__)

#: Wall seconds before a process that died is started again; doubled each time it dies young.
RESTART_S_MIN = 0.2
RESTART_S_MAX = 5.0
#: A process that lived so long has recovered from whatever killed the one before it.
GROWN_UP_S = 20.0
#: Dying young so often in a row is no accident.
YOUNG_DEATHS_MAX = 8
#: How long a process may take to end by itself.
STOP_S = 10.0

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Spec:
    """A process to keep running. Its output goes to `<name>.log` in the supervisor's log folder."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    #: Wall seconds beside `STOP_S` that it may take to end by itself.
    drain_s: float = 0.0
    #: What tells it to end; an API that gets SIGINT does not drain.
    stop_signal: signal.Signals = signal.SIGTERM


class GaveUp(Exception):
    """A process failed repeatedly at its start; the message ends with the tail of its log."""


@dataclass(slots=True)
class _Child:
    spec: Spec
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    starts: int = 0


class Supervisor:
    """Runs processes until it is closed; the last one started is the first one stopped.

    `processes.json` in the log folder holds their ids.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._children: dict[str, _Child] = {}
        self._gave_up: asyncio.Future[None] | None = None
        self._closing = False
        log_dir.mkdir(parents=True, exist_ok=True)

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again."""
        return {name: max(0, child.starts - 1) for name, child in self._children.items()}

    def pid(self, name: str) -> int | None:
        """Process id of the process of that name, if it runs."""
        process = self._children[name].process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self, spec: Spec) -> None:
        """Start a process and keep it running."""
        child = _Child(spec)
        self._children[spec.name] = child
        await self._spawn(child)
        child.keeper = asyncio.create_task(self._keep(child))

    async def wait(self, seconds: float | None = None) -> None:
        """Wait so long, or for ever. Raises GaveUp if a process cannot be kept running."""
        if self._gave_up is None:
            self._gave_up = asyncio.get_running_loop().create_future()
            self._raise_if_given_up()
        await asyncio.wait({self._gave_up}, timeout=seconds)
        if self._gave_up.done():
            self._gave_up.result()

    async def stop(self, name: str) -> int | None:
        """End one process for good; returns its exit code."""
        child = self._children[name]
        if child.keeper is not None:
            child.keeper.cancel()
        return await _end(child)

    async def close(self) -> None:
        """End all processes, the last one started first."""
        self._closing = True
        for name in reversed(self._children):
            await self.stop(name)

    async def _spawn(self, child: _Child) -> None:
        with (self._log_dir / f"{child.spec.name}.log").open("ab") as output:
            child.process = await asyncio.create_subprocess_exec(
                *child.spec.command,
                env={**os.environ, **child.spec.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C is for the supervisor alone; it tells the others in the right order.
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        child.starts += 1
        self._write_pids()

    def _write_pids(self) -> None:
        """Leave the process ids where an operator, or a test that kills, finds them."""
        pids = {name: self.pid(name) for name in self._children}
        unfinished = self._log_dir / ".processes.json"
        unfinished.write_text(json.dumps(pids, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self._log_dir / "processes.json")

    async def _keep(self, child: _Child) -> None:
        young_deaths, backoff = 0, Backoff(RESTART_S_MIN, RESTART_S_MAX)
        loop = asyncio.get_running_loop()
        while True:
            assert child.process is not None  # spawned by whoever started the keeper, or below
            born_s = loop.time()
            code = await child.process.wait()
            if loop.time() - born_s >= GROWN_UP_S:
                young_deaths = 0
                backoff.reset()
            young_deaths += 1
            wait_s = backoff.next_s()
            log.warning("process_died", process=child.spec.name, exit_code=code, restart_s=wait_s)
            if young_deaths > YOUNG_DEATHS_MAX:
                self._give_up(child, code)
                return
            await asyncio.sleep(wait_s)
            await self._spawn(child)

    def _give_up(self, child: _Child, code: int) -> None:
        path = self._log_dir / f"{child.spec.name}.log"
        last_words = path.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        said = "\n  ".join(last_words) or "(nothing)"
        error = GaveUp(f"{child.spec.name} ends with {code} whenever it is started. It said last, in {path}:\n  {said}")
        if self._gave_up is None:
            self._gave_up = asyncio.get_running_loop().create_future()
        if not self._gave_up.done():
            self._gave_up.set_exception(error)

    def _raise_if_given_up(self) -> None:
        if self._gave_up is not None and self._gave_up.done():
            self._gave_up.result()


async def _end(child: _Child) -> int | None:
    """The signal to stop, some patience, then SIGKILL; also for what the process has started in its session."""
    process = child.process
    if process is None:
        return None
    for number, patience_s in ((child.spec.stop_signal, STOP_S + child.spec.drain_s), (signal.SIGKILL, STOP_S)):
        if process.returncode is not None:
            break
        _signal_group(process.pid, number)
        try:
            async with asyncio.timeout(patience_s):
                await process.wait()
        except TimeoutError:
            log.warning("process_will_not_stop", process=child.spec.name, signal=number.name)
    return process.returncode


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux a child gets SIGTERM when the supervisor dies without a word, even by kill -9."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return set_death_signal
