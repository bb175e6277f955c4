"""How benchmarks measure and what they record: CPU time, medians, machine, versions, checksums of the results."""

import hashlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

PACKAGES = ("numpy", "numba", "h3", "scipy", "redis", "osmium", "ortools")
# Real inputs, when they stand beside the repository; benchmarks say so when they do without.
SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def cpu_s(work: Callable[[], T], repeats: int = 5) -> tuple[float, T]:
    """Return (median CPU seconds of this process, result) of several runs, after one that warms caches and kernels.

    CPU time, not the clock on the wall: it hardly depends on what else the machine does.
    """
    result = work()
    spent = []
    for _ in range(repeats):
        before = time.process_time()
        result = work()
        spent.append(time.process_time() - before)
    return statistics.median(spent), result


def machine() -> dict[str, str]:
    """Return what figures depend on: processor, system, Python, versions of the packages that do the work."""
    facts = {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "absent"
    return facts


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@dataclass
class Report:
    """Collects what a benchmark found, prints it as it comes, and writes it as JSON."""

    name: str
    small: bool
    figures: list[dict[str, Any]] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def figure(self, name: str, value: float, unit: str) -> None:
        """Record one number."""
        self.figures.append({"name": name, "value": value, "unit": unit})
        print(f"{name}: {value:,.4g} {unit}", flush=True)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Record a table; numbers are printed with four digits."""
        self.tables.append({"title": title, "header": list(header), "rows": [list(row) for row in rows]})
        texts = [[f"{value:,.4g}" if isinstance(value, float) else str(value) for value in row] for row in rows]
        widths = [max(len(text) for text in column) for column in zip(header, *texts, strict=True)]
        print(f"\n{title}")
        for row in [list(header), *texts]:
            print("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)), flush=True)
        print()

    def checksum(self, name: str, *arrays: np.ndarray[Any, Any]) -> None:
        """Record a fingerprint of results, so that a faster version which answers otherwise is noticed."""
        digest = hashlib.sha256()
        for array in arrays:
            rounded = np.round(array, 6) if array.dtype.kind == "f" else array
            digest.update(np.ascontiguousarray(rounded).tobytes())
        self.checksums[name] = digest.hexdigest()[:16]
        print(f"checksum of {name}: {self.checksums[name]}")

    def note(self, text: str) -> None:
        """Record what a reader of the figures has to know."""
        self.notes.append(text)
        print(f"note: {text}", flush=True)

    def as_json(self) -> str:
        """Return everything as JSON text."""
        return json.dumps({**vars(self), "machine": machine()}, indent=2) + "\n"
