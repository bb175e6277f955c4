import json

from benchmarks.__main__ import main


def test_the_city_benchmark_runs_small(tmp_path, capsys):
    assert main(["city", "--small", "--json", str(tmp_path / "out.json")]) == 0
    written = json.loads((tmp_path / "out.json").read_text())
    (row,) = written["tables"][0]["rows"]
    assert row[1] > 100
    assert row[2] > 90.0
    assert "checksum" in capsys.readouterr().out
