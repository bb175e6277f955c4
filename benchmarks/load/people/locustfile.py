"""What locust loads: options, the people, and the journals of all processes brought together.

    locust -f benchmarks/load/people/locustfile.py --host http://127.0.0.1:8080

with the settings of the city (`HEXHAIL_…`) in the environment; `python -m benchmarks.load` does it all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from locust import events, runners
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import EventHook
from locust.runners import LocalRunner, MasterRunner

from benchmarks.load.people.drivers import DriverPhone
from benchmarks.load.people.leader import begin_to_lead, leader
from benchmarks.load.people.process import open_process, process
from benchmarks.load.people.riders import NewRiders
from hexhail.runtime import limits

__all__ = ["DriverPhone", "NewRiders"]

#: Wall seconds between two pages of a journal.
PAGE_EVERY_S = 1.0
#: Wall seconds after which a worker that says nothing is given up: one that loads the city on a busy machine is silent.
SILENT_S_MAX = 120
PAGE = "hexhail"


def _listen(hook: EventHook, listener: Callable[..., None]) -> None:
    hook.add_listener(listener)  # type: ignore[no-untyped-call]


def add_options(parser: LocustArgumentParser) -> None:
    """Options beside locust's own; the first two are on its web page."""
    parser.add_argument(
        "--drivers",
        type=int,
        default=300,
        help="drivers; further users are new riders a second",
        env_var="LOAD_DRIVERS",
    )
    parser.add_argument(
        "--cancel-share", type=float, default=0.2, help="share of riders who cancel once a driver is on the way"
    )
    hidden: dict[str, Any] = {"type": str, "default": "", "include_in_web_ui": False}
    parser.add_argument("--requests", help="CSV of wanted rides, as hexhail simulate takes it", **hidden)
    parser.add_argument("--rates", help="steps of a headless run: new riders a second, such as 5,10,20", **hidden)
    parser.add_argument("--step-s", type=float, default=20.0, help="wall seconds of a step", include_in_web_ui=False)
    parser.add_argument("--report", help="file for the steps of a headless run", **hidden)
    parser.add_argument("--pids", help="JSON of the city's processes: name to process id", **hidden)


def begin(environment: Environment, **_: Any) -> None:
    """Load the city, and lead where no other process does."""
    limits.raise_open_files()
    open_process(environment)
    if isinstance(environment.runner, LocalRunner | MasterRunner):
        begin_to_lead(environment)
        _listen(environment.events.worker_report, collect)
        _listen(environment.events.quit, finish)
    if isinstance(environment.runner, LocalRunner):
        gevent.spawn(_collect_own)
    else:
        _listen(environment.events.report_to_master, report)


def set_drivers(environment: Environment, **_: Any) -> None:
    """So many users are drivers, which are there first."""
    DriverPhone.fixed_count = environment.parsed_options.drivers


def report(client_id: str, data: dict[str, Any]) -> None:
    """Add the journal to what a worker reports."""
    data[PAGE] = process().page()


def collect(client_id: str, data: dict[str, Any]) -> None:
    """Read the journal of a worker."""
    page = data.pop(PAGE, None)
    if page is not None:  # a worker that is still starting has none
        leader().add_page(client_id, page)


def finish(**_: Any) -> None:
    """Say how all ended, in the file for the steps."""
    if isinstance(leader().environment.runner, LocalRunner):
        _add_own()
    leader().end()


def _collect_own() -> None:
    while True:
        _add_own()
        gevent.sleep(PAGE_EVERY_S)


def _add_own() -> None:
    leader().add_page("alone", process().page())


# Locust's own are 3 s each, and no options.
runners.WORKER_REPORT_INTERVAL = PAGE_EVERY_S
runners.HEARTBEAT_LIVENESS = SILENT_S_MAX
_listen(events.init_command_line_parser, add_options)
_listen(events.init, begin)
_listen(events.test_start, set_drivers)
