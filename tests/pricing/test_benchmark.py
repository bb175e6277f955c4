"""The benchmark of pricing still runs: its tick, the pricer and the API as they are served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main

pytestmark = pytest.mark.servers


def test_the_benchmark_of_pricing_runs_small(tmp_path: Path) -> None:
    assert main(["pricing", "--small", "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert {"prices, hot spots", "prices, each cell by itself"} <= set(written["checksums"])
    figures = {figure["name"]: figure["value"] for figure in written["figures"]}
    assert figures["ride events through the Faust app"] > 0.0
    assert figures["quotes of one API process"] > 0.0
    assert not any("answers other than" in note for note in written["notes"])
