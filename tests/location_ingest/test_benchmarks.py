"""The benchmark of the filter still runs; `test_faults.py` and `test_replay.py` run what the others are made of."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.__main__ import main


def test_the_benchmark_of_the_filter_runs_small(tmp_path: Path) -> None:
    assert main(["filter", "--small", "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["tables"]
