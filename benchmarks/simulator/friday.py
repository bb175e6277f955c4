"""A city's whole day in virtual time: the smallest fleet, CPU, memory, how both grow, and where the time goes."""

from __future__ import annotations

import gzip
import json
import os
import pstats
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from benchmarks.common.measure import Report
from benchmarks.common.san_francisco import FRIDAY, SF, write_city, write_friday
from geo.city import load_city
from hexhail.cities.demand import DRIVERS_FILE, REQUESTS_FILE, make_demand, write_demand
from hexhail.runtime.settings import MANHATTAN

#: Rules of the day. Requests gather a little longer than by default: with a fleet this small somebody always queues.
RULES = ("--acceptance=always", "--surge=off", "--boarding-s=0", "--max-wait-s=600", "--batch-window-s=5")
SERVED_LEAST = 0.95
#: Fleets are told apart by so many drivers.
FLEET_STEP = 50
#: Below, riders queue all day, and each round weighs all of them again.
FLEETS = (2_300, 2_900)
GROWTH_SHARES = (8, 4, 2)
GROWTH_FLEETS = (1.5, 2.0)
HEADER = ["requests", "drivers", "served %", "mean wait s", "p95 s", "CPU s", "requests / CPU s", "peak MiB", "events"]
#: The parts of the profile: how a file's path begins, behind the folder of the project.
PARTS = ("simulator", "dispatch/rules", "dispatch/matching", "dispatch", "geo", "pricing", "hexhail", "location_ingest")
MIB = 2**20
KIB = 2**10


@dataclass(frozen=True)
class CityFiles:
    """Where the inputs are and how many drivers the file holds at most."""

    city: Path
    requests: Path
    drivers: Path
    folder: Path


@dataclass(frozen=True)
class DayResult:
    """The results of one simulated day, run in a process of its own."""

    drivers: int
    summary: dict[str, Any]
    n_events: int
    peak_bytes: int

    @property
    def row(self) -> list[object]:
        """A line of the table."""
        said, wait = self.summary, self.summary["pickup_wait_s"]
        served, peak_mib = 100.0 * said["service_rate"], self.peak_bytes / MIB
        return [
            said["requests"], self.drivers, served, wait["mean"], wait["p95"], said["cpu_s"],
            said["requests_per_cpu_s"], peak_mib, self.n_events,
        ]  # fmt: skip


def run(small: bool, report: Report) -> None:
    """Find the smallest fleet for San Francisco's Friday and measure the days around it; ``small`` draws a tiny day."""
    with tempfile.TemporaryDirectory() as folder:
        fleets = (12, 24) if small else FLEETS
        place = _place(Path(folder), 2 * fleets[1], report, small=small)
        smallest = _smallest_fleet(place, fleets, 12 if small else FLEET_STEP)
        report.table(f"The smallest fleet that serves {100 * SERVED_LEAST:.0f} %", HEADER, [smallest.row])
        report.figure("the day", smallest.summary["cpu_s"], "CPU s")
        report.figure("peak memory of the process", smallest.peak_bytes / MIB, "MiB")
        fingerprint = bytes.fromhex(smallest.summary["events_sha256"])
        report.checksum("events of the day", np.frombuffer(fingerprint, np.uint8))
        shares = GROWTH_SHARES[:1] if small else GROWTH_SHARES
        days = [_thinned(place, smallest.drivers, share) for share in shares]
        report.table("Growth with the requests, the fleet in proportion", HEADER, [*_rows(days), smallest.row])
        counts = [int(smallest.drivers * factor) for factor in (GROWTH_FLEETS[-1:] if small else GROWTH_FLEETS)]
        days = [_simulate(place, place.requests, count) for count in counts]
        report.table("Growth with the drivers, the requests all the same", HEADER, [smallest.row, *_rows(days)])
        _profile(place, smallest.drivers, report)


def _rows(days: list[DayResult]) -> list[list[object]]:
    return [day.row for day in days]


def _place(folder: Path, drivers: int, report: Report, *, small: bool) -> CityFiles:
    day = folder / "day"
    if not small and SF.exists():
        city_folder = folder / "city"
        city = write_city(folder)
        write_friday(day, city, drivers)
    else:
        report.note("a sketched day of Manhattan" + ("" if small else ", for want of ../shared/data"))
        city_folder = MANHATTAN
        demand = make_demand(
            load_city(MANHATTAN), FRIDAY, 1_000 if small else 200_000, drivers, 1, None, lambda what: None
        )
        write_demand(demand, day)
    return CityFiles(city_folder, day / REQUESTS_FILE, day / DRIVERS_FILE, folder)


def _smallest_fleet(place: CityFiles, fleets: tuple[int, int], step: int) -> DayResult:
    """Halve the range of fleets until it is one step wide.

    Raises ValueError if its ends do not serve too few and enough.
    """
    too_few, enough = (count // step for count in fleets)
    shares = []
    for count in (too_few, enough):  # the first also compiles the kernels
        found = _simulate(place, place.requests, count * step)
        shares.append(found.summary["service_rate"])
    if not shares[0] < SERVED_LEAST <= shares[1]:
        raise ValueError(f"fleets of {fleets} serve {shares}: choose them about {SERVED_LEAST}")
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        result = _simulate(place, place.requests, middle * step)
        if result.summary["service_rate"] >= SERVED_LEAST:
            enough, found = middle, result
        else:
            too_few = middle
    return found


def _thinned(place: CityFiles, fleet: int, share: int) -> DayResult:
    """Simulate a day with every `share`-th request and the same share of the fleet."""
    part = place.folder / f"part-{share}.csv.gz"
    with (
        gzip.open(place.requests, "rt", encoding="utf-8") as full,
        gzip.open(part, "wt", encoding="utf-8", compresslevel=1) as thin,
    ):
        for number, line in enumerate(full):
            if number == 0 or number % share == 0:
                thin.write(line)
    return _simulate(place, part, fleet // share)


def _simulate(place: CityFiles, requests: Path, drivers: int) -> DayResult:
    out = place.folder / f"out-{requests.stem}-{drivers}"
    process = subprocess.Popen(
        [sys.executable, "-m", "hexhail", *_arguments(place, requests, drivers, out)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    n_events = parquet.read_metadata(out / "events.parquet").num_rows
    shutil.rmtree(out)
    served, spent = 100.0 * summary["service_rate"], summary["cpu_s"]
    print(
        f"{summary['requests']:,} requests, {drivers:,} drivers: {served:.2f} % served, {spent:.1f} CPU s", flush=True
    )
    return DayResult(drivers, summary, n_events, usage.ru_maxrss * KIB)


def _arguments(place: CityFiles, requests: Path, drivers: int, out: Path) -> list[str]:
    fleet = place.folder / f"drivers-{drivers}.csv"
    lines = place.drivers.read_text(encoding="utf-8").splitlines(keepends=True)
    fleet.write_text("".join(lines[: drivers + 1]), encoding="utf-8")
    where = (f"--city={place.city}", f"--requests={requests}", f"--drivers={fleet}", f"--out={out}")
    # A drawn place may have no way out of its street.
    return ["simulate", *where, *RULES, "--skip-bad"]


def _profile(place: CityFiles, drivers: int, report: Report) -> None:
    """Where the time goes, by part and by function, on an eighth of the day: the profiler slows small calls down."""
    part = place.folder / "part-8.csv.gz"
    if not part.exists():
        part, drivers = place.requests, drivers * 8
    out, stats = place.folder / "out-profile", place.folder / "profile"
    arguments = _arguments(place, part, drivers // 8, out)
    profiler = [sys.executable, "-m", "cProfile", "-o", str(stats), "-m", "hexhail"]
    subprocess.run([*profiler, *arguments], check=True, stdout=subprocess.DEVNULL)
    root = Path(__file__).resolve().parents[2]
    own_s: dict[str, float] = defaultdict(float)
    functions = []
    # The standard library's types do not know of `stats`.
    for (file, _, name), (_, calls, own, _, _) in pstats.Stats(str(stats)).stats.items():
        path = Path(file)
        inside = path.relative_to(root).as_posix() if path.is_relative_to(root) and ".venv" not in file else ""
        own_s[next((part for part in PARTS if inside.startswith(part)), "libraries and Python")] += own
        functions.append((own, calls, f"{inside or path.name}: {name}"))
    total_s = sum(own_s.values())
    parts = sorted(own_s.items(), key=lambda item: -item[1])
    report.table(
        "Profile by part, own seconds under the profiler, imports and files included",
        ["part", "seconds", "%"],
        [[name, spent, 100.0 * spent / total_s] for name, spent in parts],
    )
    functions.sort(reverse=True)
    report.table(
        "Profile by function, the first fifteen",
        ["function", "calls", "seconds"],
        [[name, calls, own] for own, calls, name in functions[:15]],
    )
