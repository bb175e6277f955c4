from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main


def test_the_quality_benchmark_runs_small(tmp_path: Path) -> None:
    assert main(["quality", "--small", "--seeds", "2", "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert len(written["tables"]) == 2
    for table in written["tables"]:
        assert {"nearest", "greedy", "optimal", "optimal + values"} <= {row[0] for row in table["rows"]}
    served = [figure["value"] for figure in written["figures"] if figure["name"].endswith("served %")]
    assert all(20.0 < share <= 100.0 for seeds in served for share in seeds)


def test_the_city_benchmark_runs_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["city", "--small", "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    (row,) = written["tables"][0]["rows"]
    assert row[1] > 100
    assert row[2] > 90.0
    assert "checksum" in capsys.readouterr().out


def test_the_surge_benchmark_runs_small(tmp_path: Path) -> None:
    assert main(["surge", "--small", "--seeds", "1", "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    shock, quiet, answer, picking = written["tables"]
    for table in (shock, quiet):
        (riders,) = [row for row in table["rows"] if row[0] == "riders"]
        assert riders[1] == riders[2], "the same seed draws the same riders"
    peaks = [float(row[1].split()[0]) for row in answer["rows"]]
    assert all(1.0 < peak <= 3.0 for peak in peaks)
    assert [row[:2] for row in picking["rows"]] == [
        [rule, who] for rule in ("multiplicative", "additive") for who in ("takes all", "pay from 10")
    ]


def test_the_benchmark_of_a_whole_day_runs_small_and_finds_a_fleet(tmp_path: Path) -> None:
    assert main(["friday", "--small", "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    (smallest,) = written["tables"][0]["rows"]
    assert (smallest[0], smallest[2] >= 95.0) == (1_000, True)
    assert sum(row[2] for row in written["tables"][3]["rows"]) == pytest.approx(100.0)


def test_the_repositioning_benchmark_runs_small(tmp_path: Path) -> None:
    assert main(["repositioning", "--small", "--seeds", "1", "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    (table,) = written["tables"]
    assert [row[0] for row in table["rows"]] == ["stay", "go home", "cruise", "advised"]
    errors = [figure["value"] for figure in written["figures"] if figure["name"].startswith("error of")]
    assert len(errors) == 3
