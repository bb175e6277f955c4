"""Starts locust's processes: one alone, or a leader with workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hexhail.runtime import embedded

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = Path(__file__).parent / "people"
#: Wall seconds for the people to go home: each driver brings a ride to its end and says goodbye.
STOP_S_MAX = 120
#: Users who come in a second, on the web page.
SPAWN_PER_S = 50
TAIL_LINES = 15


@dataclass(frozen=True)
class LoadParams:
    """Who makes the load."""

    drivers: int = 300
    #: Share of riders who cancel once a driver is on the way; the others ride to the end.
    cancel_share: float = 0.2
    #: CSV of wanted rides; None for those of the city.
    requests: Path | None = None
    #: Worker processes; 0 for one process that does it all.
    workers: int = 0

    def __post_init__(self) -> None:
        if self.drivers < 1:
            raise ValueError(f"--drivers must be at least 1, not {self.drivers}")
        if not 0.0 <= self.cancel_share <= 1.0:
            raise ValueError(f"--cancel-share must be 0 to 1, not {self.cancel_share}")
        if self.workers < 0:
            raise ValueError(f"--workers must not be negative, but is {self.workers}")

    def options(self) -> list[str]:
        """Return the options of every locust process."""
        options = ["--drivers", str(self.drivers), "--cancel-share", str(self.cancel_share)]
        return options if self.requests is None else [*options, "--requests", str(self.requests.resolve())]


@dataclass(frozen=True)
class StepParams:
    """The steps of a headless run."""

    #: New riders a second in each step.
    rates: tuple[int, ...]
    #: Wall seconds that are measured of each.
    step_s: float
    #: Where the report goes.
    report: Path
    #: Processes of the city on this machine, to be measured.
    pids: Mapping[str, int]

    def options(self) -> list[str]:
        """Return the options of the process that leads."""
        rates = ",".join(map(str, self.rates))
        options = ["--headless", "--only-summary", "--exit-code-on-error", "0", "--rates", rates]
        return [*options, "--step-s", str(self.step_s), "--report", str(self.report), "--pids", json.dumps(self.pids)]


def headless_commands(url: str, params: LoadParams, steps: StepParams) -> dict[str, list[str]]:
    """Return the commands of a run in steps, by name; the first one leads, and ends when the run ends."""
    return _commands(url, params, [PEOPLE / "locustfile.py", PEOPLE / "shape.py"], steps.options())


def page_commands(url: str, params: LoadParams, web_port: int, riders_per_s: int) -> dict[str, list[str]]:
    """Return the commands of a run with locust's web page, by name."""
    users = str(params.drivers + riders_per_s)
    page = ["--web-port", str(web_port), "--users", users, "--spawn-rate", str(SPAWN_PER_S)]
    return _commands(url, params, [PEOPLE / "locustfile.py"], page)


def _commands(url: str, params: LoadParams, files: list[Path], leading: list[str]) -> dict[str, list[str]]:
    common = [sys.executable, "-m", "locust", "-f", ",".join(map(str, files)), "--host", url]
    common += ["--stop-timeout", str(STOP_S_MAX), *params.options()]
    if not params.workers:
        return {"locust": [*common, *leading]}
    port = str(embedded.free_port())
    leader = [*common, *leading, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
    commands = {"leader": [*leader, "--expect-workers", str(params.workers)]}
    for number in range(params.workers):
        commands[f"worker-{number + 1}"] = [*common, "--worker", "--master-port", port]
    return commands


@contextmanager
def running(
    commands: Mapping[str, list[str]], env: Mapping[str, str], logs: Path | None
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run the processes with the city's settings, none left at the end; output goes to `logs`, else to the terminal.

    They are no part of the terminal's group: Ctrl-C is for the caller, who tells the leading one.
    """
    environment = os.environ | env | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            if logs is None:
                processes[name] = subprocess.Popen(command, env=environment, start_new_session=True)
                continue
            with (logs / f"{name}.log").open("wb") as out:
                processes[name] = subprocess.Popen(
                    command, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
                )
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def wait_for_end(processes: Mapping[str, subprocess.Popen[bytes]]) -> int:
    """Wait until the leading process has ended, then for its workers; return its exit code."""
    leader, *workers = processes.values()
    code = leader.wait()
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):  # it is killed then
            worker.wait(STOP_S_MAX)
    return code


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:])
