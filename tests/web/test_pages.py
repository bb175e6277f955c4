"""The pages about recorded runs, as a browser sees them: the report, the comparison and the replay of a drawn city's day."""

from __future__ import annotations


import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from benchmarks.simulator.city import _build, _drawn
from tests.web.test_map import WEB, why_not

RIDE = "r0000030"

pytestmark = pytest.mark.browser


class City(NamedTuple):
    """A drawn city and its people, as the commands want them."""

    folder: Path
    options: tuple[str, ...]


def hexhail(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "hexhail", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("pages")
    data = _drawn(folder / "data", 120, 15)
    _build(data, folder / "city")
    files = f"--requests={data}/requests.csv", f"--drivers={data}/drivers.csv"
    return City(folder, (f"--city={folder}/city", *files, "--acceptance=always"))


@pytest.fixture(scope="module")
def run(city: City) -> Path:
    hexhail("simulate", *city.options, f"--out={city.folder}/run")
    return city.folder / "run"


@pytest.fixture(scope="module")
def replay_url(run: Path) -> Iterator[str]:
    """The address of a replay that is being served."""
    command = [sys.executable, "-m", "hexhail", "replay", str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield next(found[0] for line in server.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))
        finally:
            server.terminate()


def look(script: str, subject: str, name: str, folder: Path, *options: str) -> dict[str, Any]:
    # HEXHAIL_SCREENSHOTS keeps the pictures, as for the live map.
    kept = Path(os.environ.get("HEXHAIL_SCREENSHOTS", folder))
    kept.mkdir(parents=True, exist_ok=True)
    command = ["node", f"tests/{script}", subject, str(kept / f"{name}.png"), *options]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def check_page(found: dict[str, Any], pictures: int) -> None:
    assert len(found["pictures"]) == pictures
    for picture in found["pictures"]:
        assert picture["shapes"] >= 5
        assert picture["width"] > 300
        assert picture["height"] > 80
    assert not found["overflows"]
    assert found["other_hosts"] == []
    assert found["console_errors"] == []
    assert "NaN" not in found["text"]


def test_the_report_draws_all_its_pictures_and_asks_for_nothing(run: Path, tmp_path: Path) -> None:
    found = look("look-page.mjs", f"{run}/report.html", "report", tmp_path)
    check_page(found, pictures=5)
    assert "Surge over time" in found["text"]


def test_the_comparison_shows_a_table_and_pictures_and_asks_for_nothing(city: City, tmp_path: Path) -> None:
    out = city.folder / "both"
    hexhail("compare", "optimal", "nearest", *city.options, f"--out={out}", "--seeds=2", "--resample", "--jobs=1")
    found = look("look-page.mjs", f"{out}/compare.html", "compare", tmp_path)
    check_page(found, pictures=6)
    assert re.search(r"mean wait for the pickup\s+[\d.]+ s\s+[\d.]+ s\s+[+-][\d.]+ s \[", found["text"])


@pytest.mark.parametrize(
    ("name", "options"), [("replay-dark", ["--theme=dark"]), ("replay-phone", ["--theme=light", "--size=400x800"])]
)
def test_a_replay_plays_scrubs_and_traces(replay_url: str, tmp_path: Path, name: str, options: list[str]) -> None:
    found = look("look-replay.mjs", replay_url, name, tmp_path, RIDE, *options)

    assert found["drivers"] == 15
    assert found["early"]["pixels"] != found["later"]["pixels"]
    assert found["early"]["places"] != found["later"]["places"]
    assert found["again"] == {"places": found["early"]["places"], "time": found["early"]["time"]}
    assert found["played"]["places"] != found["again"]["places"]
    assert found["again"]["time"] < found["played"]["time"] <= found["stopped"]
    assert found["picked"]["traced"] == found["picked"]["card"] == found["picked"]["driver"]
    assert found["trace"][0] == "Ride requested"
    assert found["trace"][-1] == "Rider dropped off"
    assert found["past"] > len(found["trace"]) // 2
    assert found["way"][-2:] == ["TO_PICKUP", "ON_TRIP"]
    assert found["untraced"]
    assert "Surge cells" in found["tools"]
    assert found["refused"] == (None if name == "replay-phone" else "Not in this run.")
    assert found["other_hosts"] == []
    assert found["console_errors"] == []
    assert found["unreadable"] == []
