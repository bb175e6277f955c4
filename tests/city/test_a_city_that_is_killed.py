"""A whole city as its user runs it, looked at in a browser, with its processes killed one after the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
VICTIMS = ("pricer", "matcher", "ingester", "api")
#: Rides that have to be completed after each death until the next process is killed.
RIDES_BETWEEN = 5

pytestmark = [pytest.mark.city, pytest.mark.servers]


@dataclass
class City:
    """What was seen of a city that has ended."""

    exit_code: int
    output: str
    summary: dict[str, Any]
    run_dir: Path
    completed_before_kills: int
    killed: dict[str, int]
    pids: set[int]
    port: int
    look: dict[str, Any] | None
    screenshot: Path


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    folder = tmp_path_factory.mktemp("city")
    command = [
        *(sys.executable, "-m", "hexhail", "demo", "--speed", "10", "--drivers", "200"),
        *("--port", "0", "--run-dir", str(folder / "run"), "--summary", str(folder / "summary.json")),
    ]
    output = folder / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield _live_through(process, folder, output)
    finally:
        process.kill()
        process.wait()


def _live_through(process: subprocess.Popen[bytes], folder: Path, output: Path) -> City:
    url = _wait_for_line(process, output, "the city runs: ").split("the city runs: ")[1].strip()
    port = int(url.split(":")[2].split("/")[0])
    screenshot = Path(os.environ.get("HEXHAIL_SCREENSHOTS", folder)) / "city.png"
    _wait_for_line(process, output, "first ride completed")
    look = _look(url, screenshot)
    completed = _completed(folder)
    pids = set(_pids(folder).values())
    killed = {}
    for victim in VICTIMS:
        killed[victim] = _pids(folder)[victim]
        os.kill(killed[victim], signal.SIGKILL)
        _wait_for_new_pid(folder, victim, killed[victim])
        pids |= set(_pids(folder).values())
        _wait_for_rides(process, folder, _completed(folder) + RIDES_BETWEEN)
    process.send_signal(signal.SIGINT)
    exit_code = process.wait(PATIENCE_S)
    summary_path = folder / "summary.json"
    summary = json.loads(summary_path.read_text()) if summary_path.exists() else {}
    return City(exit_code, output.read_text(), summary, folder / "run", completed, killed, pids, port, look, screenshot)


def _wait_for_line(process: subprocess.Popen[bytes], output: Path, beginning: str) -> str:
    deadline_s = time.monotonic() + 2 * PATIENCE_S
    while time.monotonic() < deadline_s and process.poll() is None:
        for line in output.read_text().splitlines():
            if line.startswith(beginning):
                return line
        time.sleep(0.2)
    raise AssertionError(f"no line {beginning!r} in:\n{output.read_text()}")


def _wait_for_rides(process: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while (completed := _completed(folder)) < count:
        assert process.poll() is None, "the demo has ended"
        assert time.monotonic() < deadline_s, f"{completed} rides were completed, not {count}"
        time.sleep(0.2)


def _pids(folder: Path) -> dict[str, int]:
    pids: dict[str, int] = json.loads((folder / "run" / "logs" / "processes.json").read_text())
    return pids


def _wait_for_new_pid(folder: Path, name: str, old: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while _pids(folder)[name] in (old, None):
        assert time.monotonic() < deadline_s, f"{name} was not started again"
        time.sleep(0.05)


def _completed(folder: Path) -> int:
    """The rides that the population has seen completed."""
    figures: dict[str, int] = json.loads((folder / "run" / "population.json").read_text())
    return figures["completed"]


def _look(url: str, screenshot: Path) -> dict[str, Any] | None:
    """What a browser sees; None where there is no browser, Node or built map."""
    if not (shutil.which("node") and shutil.which("chromium") and (ROOT / "web" / "dist" / "index.html").exists()):
        return None
    command = ["node", "tests/look.mjs", url, str(screenshot), "8"]
    done = subprocess.run(command, cwd=ROOT / "web", capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_demo_ends_well_although_its_processes_were_killed(city: Any) -> None:
    assert city.exit_code == 0, city.output
    assert {name: city.summary["restarts"][name] for name in VICTIMS} == dict.fromkeys(VICTIMS, 1)


def test_no_invariant_was_violated_at_any_instant(city: Any) -> None:
    assert city.summary["invariant_violations"] == 0, city.summary["violations"]


def test_no_accepted_ride_is_lost_and_every_request_is_accounted_for(city: Any) -> None:
    figures, population = city.summary, city.summary["population"]
    ended = figures["completed"] + figures["cancelled"] + figures["expired"]
    assert figures["requests"] == ended + figures["open"]
    # Every ride that a rider was told of is there; a rider may have been cut off before the answer came.
    assert 0 <= figures["requests"] - population["requests"] <= population["riders_appeared"]
    assert figures["completed"] >= population["completed"] > 0


def test_rides_go_on_being_completed_after_the_kills(city: Any) -> None:
    assert city.summary["completed"] >= city.completed_before_kills + len(VICTIMS) * RIDES_BETWEEN


def test_every_committed_event_was_published_and_consumed(city: Any) -> None:
    figures = city.summary
    assert figures["events_committed"] == figures["events_published"] == figures["events_consumed"] > 0


def test_positions_flowed(city: Any) -> None:
    assert city.summary["pings_ingested"] > 1000


def test_the_map_shows_moving_drivers_and_asks_no_other_host(city: Any) -> None:
    if city.look is None:
        pytest.skip("needs Node, Chromium and the built map")
    assert city.look["ready"]
    assert city.look["drivers_moved"] > 20
    assert city.look["other_hosts"] == []
    assert city.look["console_errors"] == []
    assert city.screenshot.stat().st_size > 20_000


def test_nothing_is_left_behind(city: Any) -> None:
    assert not [pid for pid in city.pids if Path(f"/proc/{pid}").exists()]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", city.port)) != 0
    beside = {path.name for path in city.run_dir.parent.iterdir()}
    assert beside <= {"run", "summary.json", "output.txt", "city.png"}
