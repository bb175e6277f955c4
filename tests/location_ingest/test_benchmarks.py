"""The benchmarks of the filter and of faults still run; their figures mean something only in full."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["filter", pytest.param("faults", marks=pytest.mark.servers)])
def test_every_benchmark_of_ingestion_runs_small(name, tmp_path):
    assert main([name, "--small", "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["tables"]
