"""Two workers that need the same kernels at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import kernel_compilation
from tests.kernel_compilation import LOCK_FILE, CompilationLock, begin_warm_up, wait_for_warm_up

WORKER = """
import sys
from pathlib import Path
from tests.kernel_compilation import one_process_at_a_time
if sys.argv[1] == "locked":
    one_process_at_a_time(Path(sys.argv[2]))
import two_kernels
print("ready", flush=True)
sys.stdin.readline()
two_kernels.outer(1.0)
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in (two_kernels.inner, two_kernels.outer)))
"""
KERNELS = """
from geo.jit import kernel

@kernel
def inner(x):
    return x + 1.0

@kernel
def outer(x):
    return inner(x) + inner(x)
"""


def test_two_workers_compile_each_kernel_once(tmp_path: Path) -> None:
    (tmp_path / "two_kernels.py").write_text(KERNELS)
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": paths}
    command = [sys.executable, "-c", WORKER, "locked", str(tmp_path)]
    workers = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    with CompilationLock(tmp_path / LOCK_FILE).held():  # both wait here, so that neither comes too late
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
    compiled = [int(worker.communicate()[0]) for worker in workers]
    assert sum(compiled) == 2, compiled


def test_workers_wait_until_the_warm_up_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = tmp_path / "ended"
    code = f"import sys, time; time.sleep(1.0); open({str(ended)!r}, 'w').close()"
    monkeypatch.setattr(kernel_compilation, "WARM_UP", [sys.executable, "-c", code])
    warming_up = begin_warm_up(tmp_path / "cache")
    wait_for_warm_up(tmp_path / "cache")
    assert ended.exists()
    assert warming_up.wait() == 0


def test_a_warm_up_that_is_killed_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_compilation, "WARM_UP", [sys.executable, "-c", "import time; time.sleep(3600)"])
    warming_up = begin_warm_up(tmp_path)
    warming_up.kill()
    wait_for_warm_up(tmp_path)
    assert warming_up.wait() != 0
