"""Runs the tests of kernels again as written and with bounds checks, each in a new process with its own cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo.jit import IS_COMPILED, kernel

ROOT = Path(__file__).resolve().parents[1]
# Every kernel of geo and of ingestion runs in these, in one process for each mode: most of its time is compiling.
FILES = (
    "test_kernel_modes.py", "geo/test_cells.py", "geo/test_nearest.py", "geo/test_city_build.py",
    "geo/roads/test_graph.py", "geo/roads/test_travel_times.py", "geo/roads/test_snap.py",
    "geo/learning/test_map_matching.py", "location_ingest/test_column_engine.py",
    "location_ingest/test_edge_batches.py",
)  # fmt: skip
# One long drive of five is enough here: they are slow without the compiler.
ONE_DRIVE = "not (long_drives and (1 or 2 or 3 or 4))"
IS_INNER_RUN = "HEXHAIL_KERNEL_MODE" in os.environ


@kernel
def value_at(values: Any, place: Any) -> Any:
    return values[place]


@pytest.mark.skipif(IS_INNER_RUN, reason="this is the inner run")
@pytest.mark.parametrize("switch", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_kernels_do_the_same_as_written_and_bounds_checked(switch: str, tmp_path: Path) -> None:
    # A cache made without checks would silently switch them off: hence a folder of its own.
    environment = os.environ | {switch: "1", "NUMBA_CACHE_DIR": str(tmp_path), "HEXHAIL_KERNEL_MODE": switch}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", ONE_DRIVE]
    command += [f"tests/{name}" for name in FILES]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.skipif(not IS_INNER_RUN, reason="only in the checked runs")
def test_reading_past_the_end_is_an_error_here() -> None:
    with pytest.raises(IndexError):
        value_at(np.arange(3), 4)


@pytest.mark.skipif(not IS_INNER_RUN, reason="only in the checked runs")
def test_the_mode_is_the_one_asked_for() -> None:
    assert (os.environ["HEXHAIL_KERNEL_MODE"] == "NUMBA_DISABLE_JIT") == (not IS_COMPILED)
