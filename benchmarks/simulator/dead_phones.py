"""A tenth of all phones die at random for good: does every ride end, and is it settled, with and without deadlines?"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from benchmarks.common.measure import Report
from dispatch import events as ev
from dispatch.matching.registry import make_policy
from dispatch.model import TERMINAL, Ride, RideState
from geo.city import City, load_city
from hexhail.runtime.settings import MANHATTAN
from simulator.day import Day, Outcome
from simulator.day_params import DayParams
from simulator.demand.inputs import DriverStarts, PlacedRequests
from simulator.demand.requests import Requests

DRIVERS, FOUR_SEATS = 200, 4
HOURS, RIDERS_PER_H = 3.0, 500.0
DEAD_SHARE = 0.1
SEED = 1


def run(small: bool, report: Report) -> None:
    """Live the same hours of Manhattan with all phones well, with a tenth dead, and so without deadlines."""
    city = load_city(MANHATTAN)
    hours = 0.3 if small else HOURS
    requests, starts = _inputs(city, hours)
    report.note(f"{len(requests.asked.t_s):,} riders in {hours:g} h, {DRIVERS} drivers of Manhattan; seed {SEED}")
    days: tuple[tuple[str, float, dict[str, Any]], ...] = (
        ("all phones well", 0.0, {}),
        ("a tenth of the phones dead", DEAD_SHARE, {}),
        ("the same without deadlines (control)", DEAD_SHARE, {"overdue_factor": 0.0}),
    )
    found = {name: figures_of(live(city, requests, starts, share, changes)) for name, share, changes in days}
    header = ["", *next(iter(found.values()))]
    report.table("How the rides ended", header, [[name, *figures.values()] for name, figures in found.items()])


def live(
    city: City, requests: PlacedRequests, starts: DriverStarts, dead_share: float, changes: dict[str, Any]
) -> Outcome:
    """The hours with this share of dead phones, and these changes of `[dispatch]`."""
    params = DayParams(seed=SEED, is_surge_on=False, dead_phone_share=dead_share, dispatch_changes=changes)
    policy = make_policy("optimal", city.graph)
    return Day(city, requests, starts, policy, params).run()


def figures_of(outcome: Outcome) -> dict[str, Any]:
    """How the rides ended, and whether each that ended says what is owed."""
    rides = outcome.virtual_dispatch.history.rides.values()
    happened = Counter(type(event) for event in outcome.events)
    return {
        "rides": len(rides),
        "completed": sum(ride.state is RideState.COMPLETED for ride in rides),
        "closed_by_deadline": happened[ev.TripClosed],
        "no_shows": happened[ev.RiderDidNotShow],
        "taken_back": happened[ev.AssignmentCancelled],
        "never_ended": sum(ride.state not in TERMINAL for ride in rides),
        "not_settled": sum(not is_settled(ride) for ride in rides),
        "owed_cents": sum(ride.owed_cents or 0 for ride in rides),
        "violations": len(outcome.violations),
    }


def is_settled(ride: Ride) -> bool:
    """Whether the ride says what is owed: a fare for every trip, nothing for what was none."""
    if ride.owed_cents is None:
        return False
    return (ride.owed_cents > 0) is (ride.state is RideState.COMPLETED) or ride.is_no_show


def _inputs(city: City, hours: float) -> tuple[PlacedRequests, DriverStarts]:
    """Riders at random crossings at random times, and drivers at random crossings."""
    rng = np.random.default_rng(SEED)
    graph, count = city.graph, round(hours * RIDERS_PER_H)
    t_s = np.sort(rng.uniform(0.0, hours * 3600.0, count))
    pickup, dropoff = rng.integers(0, len(graph.lat_deg), (2, count))
    places = [np.column_stack([graph.lat_deg[node], graph.lng_deg[node]]) for node in (pickup, dropoff)]
    asked = Requests(t_s, *places, np.ones(count, np.uint8))
    starts = DriverStarts(rng.integers(0, len(graph.lat_deg), DRIVERS), np.full(DRIVERS, FOUR_SEATS))
    return PlacedRequests(asked, pickup, dropoff), starts
