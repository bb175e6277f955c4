"""The process that leads: it reads all journals, measures the steps and writes the report."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
from locust.env import Environment
from locust.runners import MasterRunner

from benchmarks.load.journal import Ledger
from benchmarks.load.meter import Reading, read, step_between
from benchmarks.load.people.process import process, tell_locust
from benchmarks.load.steps import LoadReport, Step


class Leader:
    """One for a run."""

    def __init__(self, environment: Environment) -> None:
        self.ledger = Ledger()
        self.report = LoadReport(process().city.window_ms, [])
        self.environment = environment
        #: Whether all steps were taken that there were to be.
        self.is_done = False
        options = environment.parsed_options
        self._path = Path(options.report) if options.report else None
        self._pids: dict[str, int] = json.loads(options.pids) if options.pids else {}
        if isinstance(environment.runner, MasterRunner):
            self._pids["locust leader"] = os.getpid()

    def add_page(self, client_id: str, page: dict[str, Any]) -> None:
        """Read a page of a process, which is measured from then on if it runs on this machine."""
        if page["host"] == socket.gethostname() and page["pid"] not in self._pids.values():
            self._pids[f"people {1 + sum(name.startswith('people') for name in self._pids)}"] = page["pid"]
        for wait_s in self.ledger.add(client_id, page):
            tell_locust(self.environment, "RIDE", "request to offer", 1e3 * wait_s)

    def read(self) -> Reading:
        """Read all that is measured."""
        return read(self._pids, self.ledger, self._errors)

    def add_step(self, before: Reading, after: Reading, rate: int) -> Step:
        """Add a step to the report."""
        step = step_between(before, after, self._errors, rate, self.ledger)
        self.report.steps.append(step)
        self.write()
        return step

    def write(self) -> None:
        """Write the report as far as it goes."""
        errors = self.environment.stats.errors.values()
        self.report.errors = {f"{error.method} {error.name}: {error.error}": error.occurrences for error in errors}
        for found in self.environment.runner.exceptions.values():
            self.report.errors[f"PERSON: {found['msg']}"] = found["count"]
        self.report.ended = dict(self.ledger.ended)
        if self._path is not None:
            self._path.write_bytes(msgspec.json.encode(self.report))

    def end(self) -> None:
        """Write the report of a run that is over, also of one that was cut off."""
        if not (self.is_done or self.report.stopped):
            self.report.stopped = "locust ended before the steps did; its log says why"
        self.write()

    @property
    def _errors(self) -> int:
        return int(self.environment.stats.total.num_failures)


_leaders: list[Leader] = []


def begin_to_lead(environment: Environment) -> Leader:
    """Make this process the leader; call it once."""
    _leaders.append(Leader(environment))
    return _leaders[0]


def leader() -> Leader:
    """Return the leader, in its own process."""
    return _leaders[0]
