"""Has each kernel compiled once in a test run.

A whole run begins with one process that compiles what cities need, while its workers collect the tests; all other
processes read these kernels from disk. For the rest one worker compiles at a time.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba.core.dispatcher import Dispatcher

from hexhail.runtime.settings import MANHATTAN

LOCK_FILE = "compiling.lock"
WARM_UP_LOCK_FILE = "warming-up.lock"
WARM_UP = [sys.executable, "-m", "hexhail.runtime.warm_up", str(MANHATTAN)]


class CompilationLock:
    """A file lock between processes that a thread may take again: a kernel compiles the kernels that it calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._within_process = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock and hold it."""
        with self._within_process:
            if self._depth:
                yield
                return
            with self._path.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # closing the file lets go of it
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1


def one_process_at_a_time(cache_dir: Path) -> None:
    """Have numba in this process compile only while no other process with the same cache does."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    lock, compile_or_load = CompilationLock(cache_dir / LOCK_FILE), Dispatcher.compile

    def compile_alone(dispatcher: Any, signature: Any) -> Any:
        with lock.held():
            return compile_or_load(dispatcher, signature)

    Dispatcher.compile = compile_alone


def begin_warm_up(cache_dir: Path) -> subprocess.Popen[bytes]:
    """Start the process that compiles what cities need; it holds a lock until it ends, however it ends."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / WARM_UP_LOCK_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return subprocess.Popen(WARM_UP, pass_fds=[file.fileno()])


def wait_for_warm_up(cache_dir: Path) -> None:
    """Return when no warm-up with this cache runs."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / WARM_UP_LOCK_FILE).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
