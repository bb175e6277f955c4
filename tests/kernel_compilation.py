"""Lets one process of a test run compile at a time: the next reads the kernel from disk instead of compiling it."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba.core.dispatcher import Dispatcher

LOCK_FILE = "compiling.lock"


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
