"""The load by locust: what its figures mean, where its demand comes from, and how its processes are started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.load.__main__ import read_env
from benchmarks.load.city import demand_of
from benchmarks.load.journal import Journal, Ledger
from benchmarks.load.locust_processes import LoadParams, StepParams, headless_commands, page_commands
from benchmarks.load.steps import Step, bottleneck_of, percentiles_ms, why_to_stop
from geo.city import load_city
from hexhail.runtime.settings import MANHATTAN

WINDOW_MS = 2000.0
STEP = Step(
    rate=20, seconds=10.0, drivers=100, idle=60, pings_per_s=25.0, requested=200, offered=200, p50_ms=1100.0,
    p99_ms=2100.0, errors=0, cpu={"api": 0.6, "matcher": 0.2, "others": 0.1}, machine_share=0.5,
)  # fmt: skip


def changed(**fields: object) -> Step:
    return msgspec.structs.replace(STEP, **fields)


def page(**fields: object) -> dict[str, object]:
    journal = Journal()
    for name, value in fields.items():
        setattr(journal, name, value)
    return journal.take()


@pytest.mark.parametrize("order", [("rider", "driver"), ("driver", "rider")])
def test_a_wait_is_known_once_both_processes_have_told_whichever_comes_first(order: tuple[str, str]) -> None:
    pages = {"rider": page(sent_s={"r1": 10.0, "r2": 10.5}), "driver": page(offered_s={"r1": 11.5})}
    ledger = Ledger()
    assert ledger.add(order[0], pages[order[0]]) == []
    assert ledger.add(order[1], pages[order[1]]) == [1.5]


def test_a_second_offer_of_a_ride_leaves_the_first_one_as_it_was() -> None:
    ledger = Ledger()
    ledger.add("rider", page(sent_s={"r1": 10.0}))
    assert ledger.add("one", page(offered_s={"r1": 12.0})) == [2.0]
    assert ledger.add("two", page(offered_s={"r1": 30.0})) == []
    assert ledger.waits_s(0.0, 20.0, 40.0) == ([2.0], 1)


def test_a_ride_that_nobody_was_offered_counts_with_its_wait_so_far() -> None:
    ledger = Ledger()
    ledger.add("one", page(sent_s={"r1": 10.0, "r2": 11.0, "later": 20.0}, offered_s={"r1": 11.0}))
    waits_s, offered = ledger.waits_s(10.0, 20.0, 31.0)
    assert (waits_s, offered) == ([1.0, 20.0], 1)
    assert percentiles_ms(waits_s) == pytest.approx((10_500.0, 19_810.0))


def test_a_page_that_was_taken_is_not_told_again_but_how_many_are_connected_is() -> None:
    journal = Journal(pings=3, connected=2, idle=1, riders=1, waiting=1)
    ledger = Ledger()
    for _ in range(2):
        ledger.add("one", journal.take())
        ledger.add("two", page(connected=5, idle=5))
    assert (ledger.pings, ledger.connected, ledger.idle, ledger.people, ledger.waiting) == (3, 7, 6, 8, 1)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (STEP, ""),
        (changed(p99_ms=2299.0), ""),
        (changed(p99_ms=2301.0), "p99 from request to offer is 301 ms above the window, more than 300"),
        (changed(errors=2), "2 requests or streams failed"),
        (changed(requested=0, offered=0, p50_ms=None, p99_ms=None), ""),
    ],
)
def test_steps_end_where_offers_come_late_or_something_fails(step: Step, reason: str) -> None:
    assert why_to_stop(step, WINDOW_MS) == reason


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (changed(idle=4, machine_share=1.0), "cars: 4 of 100"),
        (changed(machine_share=0.97), "the machine: 97% of its 2 cores were in use, most by api (0.60 cores)"),
        (changed(machine_share=0.97, cpu={"api": 0.3, "others": 1.6}), "most by others (1.60 cores)"),
        (changed(cpu={"api": 0.95, "matcher": 0.2}, machine_share=0.6), "api (0.95 cores)"),
        (changed(cpu={"api": 0.2, "others": 0.95}, machine_share=0.6), "none was at its limit"),
        (changed(cpu={}), "none was at its limit: 50% of 2 cores in use, most by processes that nobody measured"),
    ],
)
def test_the_part_at_its_limit_is_named(step: Step, told: str) -> None:
    assert told in bottleneck_of(step, cores=2)


def test_wanted_rides_come_from_the_file_else_from_the_city_else_from_its_streets(tmp_path: Path) -> None:
    city = load_city(MANHATTAN)
    file = tmp_path / "wanted.csv"
    head = "t_s,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,party_size\n"
    file.write_text(head + "1000,40.7580,-73.9855,40.7359,-73.9911,2\n")
    of_file = demand_of(city, MANHATTAN, file)
    assert of_file.party_size.tolist() == [2]
    assert of_file.pickup_deg.tolist() == [[40.758, -73.9855]]
    assert len(demand_of(city, MANHATTAN, None)) == 17_966
    drawn = demand_of(city, tmp_path, None)
    assert len(drawn) > 10_000
    distance = np.abs(drawn.pickup_deg - drawn.dropoff_deg).sum(axis=1)
    assert (distance > 0.0).all()


def test_settings_of_a_running_city_are_read_as_a_shell_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "city.env"
    file.write_text('# left by a city\nHEXHAIL_TOKEN_SECRETS=\'{"k": "a b"}\'\n\nexport HEXHAIL_API_PORT=80\n')
    assert read_env(file) == {"HEXHAIL_TOKEN_SECRETS": '{"k": "a b"}', "HEXHAIL_API_PORT": "80"}
    file.write_text("HEXHAIL_API_PORT\n")
    with pytest.raises(ValueError, match=r"city.env, line 1: expected NAME=value"):
        read_env(file)


def test_each_worker_is_told_where_its_leader_is_and_what_the_people_do(tmp_path: Path) -> None:
    params = LoadParams(drivers=7, cancel_share=0.25, workers=2)
    commands = headless_commands("http://city", params, StepParams((1, 2), 5.0, tmp_path / "report.json", {"api": 1}))
    assert list(commands) == ["leader", "worker-1", "worker-2"]
    leader, worker = commands["leader"], commands["worker-1"]
    assert leader[leader.index("--expect-workers") + 1] == "2"
    assert leader[leader.index("--master-bind-port") + 1] == worker[worker.index("--master-port") + 1]
    for command in commands.values():
        assert command[command.index("--drivers") + 1] == "7"
        assert command[command.index("--cancel-share") + 1] == "0.25"


def test_the_page_begins_with_all_drivers_and_some_new_riders() -> None:
    (command,) = page_commands("http://city", LoadParams(drivers=300), 8089, riders_per_s=2).values()
    assert command[command.index("--users") + 1] == "302"
    assert command[command.index("--web-port") + 1] == "8089"
    assert "--headless" not in command


@pytest.mark.parametrize("wrong", [{"drivers": 0}, {"cancel_share": 1.5}, {"workers": -1}])
def test_a_load_that_makes_no_sense_is_refused_by_the_name_of_its_option(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
        replace(LoadParams(), **wrong)
