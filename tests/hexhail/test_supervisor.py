"""The supervisor against real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hexhail.runtime import supervisor as module
from hexhail.runtime.supervisor import GaveUp, Spec, Supervisor
from kernel.clock import CityClock
from tests.patience import PATIENCE_S, until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
async def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(module, "STOP_S", 1.0)
    made = Supervisor(tmp_path)
    yield made
    await made.close()


async def test_a_process_that_is_killed_is_started_again(supervisor: Any) -> None:
    await supervisor.start(Spec("sleeper", SLEEP))
    first = supervisor.pid("sleeper")
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.pid("sleeper") not in (None, first))
    assert supervisor.restarts == {"sleeper": 1}


async def test_process_ids_are_left_where_they_are_found(supervisor: Any, tmp_path: Path) -> None:
    await supervisor.start(Spec("sleeper", SLEEP))
    assert json.loads((tmp_path / "processes.json").read_text()) == {"sleeper": supervisor.pid("sleeper")}


async def test_nothing_is_left_when_it_is_closed_even_what_does_not_want_to_stop(
    supervisor: Any, tmp_path: Path
) -> None:
    await supervisor.start(Spec("sleeper", SLEEP))
    await supervisor.start(Spec("stubborn", STUBBORN))
    await until(lambda: "deaf" in (tmp_path / "stubborn.log").read_text())
    pids = [supervisor.pid("sleeper"), supervisor.pid("stubborn")]
    await supervisor.close()
    assert not any(is_alive(pid) for pid in pids)


async def test_a_process_is_told_to_end_by_the_signal_that_it_asks_for(supervisor: Any, tmp_path: Path) -> None:
    asked = "signal.signal(signal.SIGUSR1, lambda *_: sys.exit('ended as asked'))"
    code = f"import signal, sys, time; {asked}; print('up', flush=True); time.sleep(600)"
    await supervisor.start(Spec("sleeper", [sys.executable, "-c", code], stop_signal=signal.SIGUSR1))
    await until(lambda: "up" in (tmp_path / "sleeper.log").read_text())
    await supervisor.stop("sleeper")
    assert "ended as asked" in (tmp_path / "sleeper.log").read_text()


async def test_a_process_that_always_dies_is_given_up_with_its_last_words(
    supervisor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_S_MAX", 0.01)
    monkeypatch.setattr(module, "RESTART_S_MIN", 0.01)
    await supervisor.start(Spec("broken", [sys.executable, "-c", "raise SystemExit('no such city')"]))
    with pytest.raises(GaveUp, match=r"(?s)broken ends with 1 whenever it is started.*no such city"):
        await supervisor.wait(PATIENCE_S)


async def test_what_is_supervised_dies_with_its_supervisor(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from hexhail.runtime.supervisor import Spec, Supervisor
async def main():
    s = Supervisor(Path({str(tmp_path)!r}))
    await s.start(Spec("sleeper", {SLEEP!r}))
    print(s.pid("sleeper"), flush=True)
    await s.wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    pid = int(await asyncio.wait_for(parent.stdout.readline(), PATIENCE_S))
    assert is_alive(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not is_alive(pid))


def test_the_clock_runs_as_fast_as_it_is_told() -> None:
    fast, real = CityClock(10.0, 1000.0, 500.0), CityClock()
    assert fast.now_s() == pytest.approx(1000.0 + (real.now_s() - 500.0) * 10.0, rel=1e-6)
    assert fast.wall_duration_s(20.0) == 2.0
    with pytest.raises(ValueError, match="positive"):
        CityClock(0.0)
