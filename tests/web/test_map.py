"""The live map, as a browser sees it: a made-up city served to headless Chromium, and what it asked for and drew."""

from __future__ import annotations


import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
FIXTURE_CITY = Path(__file__).with_name("fixture_city.py")
DRIVERS = 120

Look = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.browser


def why_not() -> str | None:
    if shutil.which("node") is None:
        return "no Node on this machine"
    if not (WEB / "node_modules").is_dir() or not (WEB / "dist" / "index.html").is_file():
        return "the map is not built: make web"
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not Path(chromium).exists() and shutil.which("chromium") is None:
        return "no Chromium on this machine: install it or set CHROMIUM"
    return None


@pytest.fixture(scope="module")
def map_url() -> Iterator[str]:
    """The address of a running fixture city, token included."""
    if reason := why_not():
        pytest.skip(reason)
    with subprocess.Popen(
        [sys.executable, str(FIXTURE_CITY), "--drivers", str(DRIVERS)], stdout=subprocess.PIPE, text=True
    ) as city:
        assert city.stdout is not None
        try:
            yield city.stdout.readline().strip()
        finally:
            city.terminate()


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Opens an address in Chromium and returns what `look.mjs` found."""

    def run(url: str, name: str, *options: str, seconds: float = 2) -> dict[str, Any]:
        # HEXHAIL_SCREENSHOTS keeps the pictures, for people and for the README.
        folder = Path(os.environ.get("HEXHAIL_SCREENSHOTS", tmp_path))
        folder.mkdir(parents=True, exist_ok=True)
        command = ["node", "tests/look.mjs", url, str(folder / f"{name}.png"), str(seconds), *options]
        done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dark", ["--theme=dark"]),
        ("light-picked", ["--theme=light", "--pick"]),
        ("phone", ["--theme=dark", "--size=400x800"]),
    ],
)
def test_drivers_move_on_a_map_that_asks_no_other_host(map_url: str, look: Look, name: str, options: list[str]) -> None:
    found = look(map_url, name, *options)

    assert found["ready"]
    assert found["frames"] >= 2
    assert found["drivers_moved"] > DRIVERS / 2
    assert found["other_hosts"] == []
    assert found["console_errors"] == []
    assert found["unreadable"] == []
    assert Path(found["screenshot"]).stat().st_size > 20_000


def test_drivers_move_in_steps_where_motion_is_not_wanted(map_url: str, look: Look) -> None:
    found = look(map_url, "still", "--reduced-motion")

    assert found["drivers_moved"] > DRIVERS / 2
    assert found["console_errors"] == []


def test_a_surge_cell_tells_its_story_when_it_is_clicked_on(map_url: str, look: Look) -> None:
    found = look(map_url, "story", "--theme=dark", "--pick-cell", seconds=0)

    assert "more is asked for than the drivers in reach can serve" in found["card"]
    assert "moved by one bounded step" in found["card"]
    assert found["card"].count("→") == 6
    assert found["console_errors"] == []
    assert found["unreadable"] == []


def test_without_a_token_the_page_says_how_to_get_one(map_url: str, look: Look) -> None:
    found = look(map_url.partition("#")[0], "no-token", seconds=0)

    assert not found["ready"]
    assert "hexhail token --role operator" in found["asks"][0]
    assert found["unreadable"] == []


def test_a_refused_token_shows_the_problem_and_its_hint(map_url: str, look: Look) -> None:
    found = look(map_url + "-forged", "refused", seconds=0)

    assert not found["ready"]
    assert "The token is not valid" in found["asks"][0]
    assert "Ask for a new one." in found["asks"][0]


def test_the_page_itself_forbids_other_hosts() -> None:
    if reason := why_not():
        pytest.skip(reason)
    page = (WEB / "dist" / "index.html").read_text()

    assert "default-src 'self'; connect-src 'self'" in page


def test_the_lock_file_names_no_download_address() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def test_the_arithmetic_and_the_palette_of_the_map() -> None:
    if reason := why_not():
        pytest.skip(reason)
    done = subprocess.run(["npm", "test", "--silent"], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
