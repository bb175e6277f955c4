from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import found, main


@pytest.mark.parametrize("name", ["geo", "roads", "traffic"])
def test_every_geo_benchmark_runs_small(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--small", "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["name"] == name
    assert written["tables"]
    assert written["machine"]["python"]
    assert "checksum" in capsys.readouterr().out


def test_benchmarks_are_listed_and_unknown_ones_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "geo" in capsys.readouterr().out
    assert {"geo", "load", "roads", "traffic"} <= set(found())
    # It would patch the standard library under every other benchmark; the load runs it in processes of its own.
    assert "locust" not in sys.modules
    with pytest.raises(SystemExit):
        main(["nothing-like-it"])
    assert "there are:" in capsys.readouterr().err
