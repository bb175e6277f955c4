"""Recorded rounds go by age and by size, oldest first; what a process writes to, and what replay still needs, stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dispatch.adapters.round_files import SUFFIX, TIMES_SUFFIX, FileRoundRecords, read_rounds
from dispatch.adapters.round_folder import RoundFolder
from dispatch.model import DispatchParams, SupplySnapshot
from dispatch.ports import RoundRecord
from dispatch.rules.kept_rounds import RoundFile, files_to_delete, times_to_delete
from hexhail.runtime.retention import Pruner, RecordedRounds

DAY_S = 86_400.0


def round_at(now_s: float, times_s: NDArray[np.float64] | None = None) -> RoundRecord:
    rng = np.random.default_rng(int(now_s))
    supply = SupplySnapshot(now_s, ("dora",), rng.integers(0, 10**9, 1), np.array([4]))
    return RoundRecord("town", DispatchParams(), (("ride", 1),), supply, (), times_s)


def times_of(edges_s: float) -> NDArray[np.float64]:
    return np.full(50, edges_s)


def age(path: Path, days: float) -> None:
    """Let the file have been begun and written so long ago."""
    at_ns = time.time_ns() - int(days * DAY_S * 1e9)
    renamed = path.with_name(f"town-{at_ns}{SUFFIX}") if path.name.endswith(SUFFIX) else path
    path.rename(renamed)
    os.utime(renamed, ns=(at_ns, at_ns))


async def write_files(folder: Path, ages_days: list[float]) -> None:
    """A file with one round for each age, as processes that have ended left them."""
    for now_s, days in enumerate(ages_days):
        records = FileRoundRecords(folder, "town")
        await records.write(round_at(float(now_s)))
        records.close()
        age(max(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime_ns), days)


async def prune_all(folder: RoundFolder) -> None:
    while await folder.forget():
        pass


def kept_rounds(folder: Path) -> list[float]:
    return [record.supply.now_s for record in read_rounds(folder)]


def test_old_files_go_and_files_that_are_written_never() -> None:
    files = [RoundFile(f"f{n}", 100, n * 10.0, n * 10.0 + 9.0, is_open=n == 0) for n in range(6)]
    due = files_to_delete(files, now_s=60.0, keep_s=30.0, bytes_max=0.0)
    assert [file.name for file in due] == ["f1", "f2"]  # the last rounds of f0 to f2 are 51, 41 and 31 s old
    assert files_to_delete(files, 60.0, 0.0, 0.0) == []


def test_the_oldest_files_go_until_the_rest_has_room() -> None:
    files = [RoundFile(f"f{n}", 100, n * 10.0, n * 10.0 + 9.0) for n in range(6)]
    assert [file.name for file in files_to_delete(files, 60.0, 0.0, 400.0)] == ["f0", "f1"]
    assert [file.name for file in files_to_delete(files, 60.0, 0.0, 400.0, other_bytes=1)] == ["f0", "f1", "f2"]
    assert files_to_delete(files, 60.0, 0.0, 600.0) == []


def test_travel_times_go_once_they_were_last_used_before_every_file_that_is_kept() -> None:
    files = [RoundFile("late", 1, 50.0, 60.0), RoundFile("early", 1, 30.0, 40.0)]
    assert times_to_delete({"a": 20.0, "b": 29.9, "c": 30.0, "d": 55.0}, files) == ["a", "b"]
    assert times_to_delete({"a": 20.0}, []) == ["a"]


async def test_rounds_are_kept_for_so_many_days_and_the_rest_is_read_as_before(tmp_path: Path) -> None:
    await write_files(tmp_path, [40.0, 31.0, 29.0, 0.0])
    await prune_all(RoundFolder(tmp_path, keep_s=30.0 * DAY_S))
    assert kept_rounds(tmp_path) == [2.0, 3.0]


async def test_rounds_take_no_more_than_so_many_bytes(tmp_path: Path) -> None:
    await write_files(tmp_path, [4.0, 3.0, 2.0, 1.0])
    before = RoundFolder(tmp_path).kept()
    await prune_all(RoundFolder(tmp_path, bytes_max=before.size_bytes / 2 + 10))
    assert kept_rounds(tmp_path) == [2.0, 3.0]
    assert RoundFolder(tmp_path).kept().size_bytes <= before.size_bytes / 2 + 10


async def test_a_matcher_that_runs_for_ever_begins_new_files_so_that_old_rounds_can_go(tmp_path: Path) -> None:
    records = FileRoundRecords(tmp_path, "town", file_bytes_max=1)
    for now_s in range(4):
        await records.write(round_at(float(now_s)))
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == 4
    await prune_all(RoundFolder(tmp_path, bytes_max=1))
    assert kept_rounds(tmp_path) == [3.0]  # the one that is being written stays, whatever its size
    await records.write(round_at(4.0))
    assert kept_rounds(tmp_path) == [3.0, 4.0]


WRITER = """
import asyncio, sys, time
from pathlib import Path
from tests.dispatch.test_kept_rounds import FileRoundRecords, round_at
records = FileRoundRecords(Path(sys.argv[1]), "town")
for line in sys.stdin:
    asyncio.run(records.write(round_at(float(line))))
    print("written", flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that records a round for each line that it reads."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


async def test_a_file_that_another_process_writes_to_is_not_deleted_and_goes_once_it_has_died(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    def record(now_s: float) -> None:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(f"{now_s}\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "written\n"

    record(0.0)
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    os.utime(path, (0.0, 0.0))  # silent for years: nobody waited for a ride
    folder = RoundFolder(tmp_path, keep_s=1.0, bytes_max=1)
    assert await folder.forget() == 0
    record(1.0)
    assert kept_rounds(tmp_path) == [0.0, 1.0]
    writer.kill()
    writer.wait()
    await prune_all(folder)
    assert folder.kept().files == 0


async def test_travel_times_stay_for_as_long_as_a_round_that_is_kept_names_them(tmp_path: Path) -> None:
    shared, own = times_of(1.0), times_of(2.0)
    records = FileRoundRecords(tmp_path, "town", file_bytes_max=1)
    for now_s, times_s in enumerate((own, shared)):
        await records.write(round_at(float(now_s), times_s))
    for path, days in zip(sorted(tmp_path.glob(f"*{SUFFIX}")), (40.0, 35.0), strict=True):
        age(path, days)
    for path in tmp_path.glob(f"*{TIMES_SUFFIX}"):
        age(path, 34.9)
    await records.write(round_at(2.0, shared))  # in a new file, which takes them into use again
    records.close()
    await prune_all(RoundFolder(tmp_path, keep_s=30.0 * DAY_S))
    (record,) = read_rounds(tmp_path)
    assert np.array_equal(record.travel_time_s, shared)
    assert len(list(tmp_path.glob(f"*{TIMES_SUFFIX}"))) == 1


async def test_the_pruner_goes_in_small_steps_and_waits_when_nothing_is_old(tmp_path: Path) -> None:
    await write_files(tmp_path, [40.0] * 6)
    pruner = Pruner([RecordedRounds(RoundFolder(tmp_path, keep_s=30.0 * DAY_S))])
    steps = [(await pruner.step(), pruner.wait_s) for _ in range(3)]
    assert steps == [(4, 0.25), (2, 0.25), (0, 60.0)]
