"""The tests of the filter again with kernels as written, and with every index checked: each in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Every kernel of ingestion runs in these. A cache made without checks would silently switch them off.
FILES = ("column_engine", "edge_batches")
# One long drive of five is enough here: they are slow without the compiler.
ONE_DRIVE = "not (long_drives and (1 or 2 or 3 or 4))"


@pytest.mark.parametrize("switch", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_the_filter_decides_the_same_as_written_and_bounds_checked(switch: Any, tmp_path: Path) -> None:
    environment = os.environ | {switch: "1", "NUMBA_CACHE_DIR": str(tmp_path), "HEXHAIL_KERNEL_MODE": switch}
    files = [f"tests/location_ingest/test_{name}.py" for name in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += ["-k", ONE_DRIVE, *files]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]
