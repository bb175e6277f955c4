"""Simulated trip durations and cabs with a fare beside those recorded on a Friday of San Francisco's taxis."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import compute, parquet

from benchmarks.common.measure import Report
from benchmarks.common.san_francisco import BOX_DEG, SF, write_city
from dispatch.matching.registry import make_policy
from dispatch.model import RideState
from geo.arrays import FloatArray, IntArray
from geo.city import City
from geo.roads.travel_times import between
from hexhail.runs.simulate import Inputs, live
from kernel.supply import DriverState
from simulator.day import Outcome
from simulator.day_params import Acceptance, DayParams
from simulator.demand.inputs import BadRows, DriverStarts, PlacedRequests
from simulator.demand.requests import Requests

HOUR_S, HOURS = 3_600, 24
PACIFIC_DAYLIGHT_S = -7 * HOUR_S
#: Midnight of 2008-06-06, local time.
FRIDAY_S = 1_212_735_600
#: Farther from a street of the graph than this is a place that the graph does not have.
OFF_ROAD_M = 300.0
#: The graph has one end of a trip at the other: nothing to compare.
TRIP_S_MIN = 60.0
SEATS = 4


@dataclass(frozen=True)
class Trips:
    """Recorded trips (n,) whose ends the graph has, by time of their pickup."""

    pickup_s: FloatArray
    duration_s: FloatArray
    pickup_deg: FloatArray
    dropoff_deg: FloatArray
    pickup_node: IntArray
    dropoff_node: IntArray
    #: What the graph says.
    graph_s: FloatArray

    def __len__(self) -> int:
        return len(self.pickup_s)

    @property
    def hour(self) -> IntArray:
        """Local hour of each pickup."""
        return ((self.pickup_s + PACIFIC_DAYLIGHT_S) // HOUR_S % HOURS).astype(np.int64)

    def __getitem__(self, kept: Any) -> Trips:
        return Trips(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


def run(small: bool, report: Report) -> None:
    """Live the recorded Friday with the graph's times and with hours learned from the days before; compare."""
    if not SF.exists():
        report.note("needs ../shared/data/sf: left out")
        return
    with tempfile.TemporaryDirectory() as folder:
        city = write_city(Path(folder))
    trips = _recorded(city)
    is_friday = (trips.pickup_s >= FRIDAY_S) & (trips.pickup_s < FRIDAY_S + HOURS * HOUR_S)
    friday = trips[is_friday]
    friday = friday[:: 20 if small else 1]
    cabs = _cabs(city)
    report.note(
        f"{len(friday):,} trips of the Friday, {len(cabs):,} cabs; hours learned from {len(trips):,} trips before"
    )
    hourly = _hourly_pace(trips[trips.pickup_s < FRIDAY_S])
    report.note("pace by hour, 0 to 23: " + " ".join(f"{pace:.2f}" for pace in hourly))
    for name, paces in (("the graph's times", None), ("an hourly pace", hourly)):
        outcome = _simulate(city, friday, cabs, paces)
        served, simulated_s = _durations(outcome, len(friday))
        report.figure(f"{name}: recorded trips that found a car", 100.0 * served.mean(), "%")
        _report_durations(name, friday[served], simulated_s[served], report)
        if paces is not None:
            _report_occupancy(outcome, friday, report)
        report.checksum(f"durations, {name}", simulated_s[served])
    report.note(
        "wrong: short trips take longer than the model says, for it knows no kerb, door or turning; long ones less,"
    )
    report.note(
        "for one pace slows motorways as it does streets; and each trip of a pair of places takes the same time"
    )
    report.note(
        "wrong: riders stood at the kerb, and cabs went off shift; here all wait for an answer, and none goes home"
    )


def _recorded(city: City) -> Trips:
    names = ["pickup_t", "dur_s", "pu_lat_e5", "pu_lon_e5", "do_lat_e5", "do_lon_e5", "clean"]
    table = parquet.read_table(SF / "trips_2008-05-17_to_06-06.parquet", columns=names)
    table = table.filter(compute.fill_null(table["clean"], False)).sort_by("pickup_t")
    column = {name: table[name].to_numpy().astype(np.float64) for name in names[:-1]}
    ends = [np.column_stack([column[f"{end}_lat_e5"], column[f"{end}_lon_e5"]]) / 1e5 for end in ("pu", "do")]
    (pickup_node, pickup_m), (dropoff_node, dropoff_m) = (city.graph.snap(*end.T) for end in ends)
    graph_s = between(city.graph, pickup_node, dropoff_node)
    south, north, west, east = BOX_DEG
    inside = [(lat > south) & (lat < north) & (lng > west) & (lng < east) for lat, lng in (end.T for end in ends)]
    kept = (
        inside[0] & inside[1] & (np.maximum(pickup_m, dropoff_m) < OFF_ROAD_M) & (pickup_node != dropoff_node)
        & np.isfinite(graph_s) & (graph_s >= TRIP_S_MIN)
    )  # fmt: skip
    return Trips(column["pickup_t"], column["dur_s"], *ends, pickup_node, dropoff_node, graph_s)[kept]


def _cabs(city: City) -> DriverStarts:
    """Each cab of the Friday where its first ping in the city was."""
    table = parquet.read_table(SF / "pings_2008-06-06_by_time.parquet", columns=["cab_id", "lat_e5", "lon_e5"])
    lat, lng = table["lat_e5"].to_numpy() / 1e5, table["lon_e5"].to_numpy() / 1e5
    node, off_m = city.graph.snap(lat, lng)
    near = np.flatnonzero(off_m < OFF_ROAD_M)
    _, first = np.unique(table["cab_id"].to_numpy()[near], return_index=True)
    start = np.asarray(node[near[first]], np.int64)
    return DriverStarts(start, np.full(len(start), SEATS))


def _hourly_pace(before: Trips) -> tuple[float, ...]:
    """How many times the graph's time trips took in the median of each hour of the days before."""
    ratio, hour = before.duration_s / before.graph_s, before.hour
    return tuple(round(float(np.median(ratio[hour == at])), 3) for at in range(HOURS))


def _simulate(city: City, trips: Trips, cabs: DriverStarts, paces: tuple[float, ...] | None) -> Outcome:
    """Live the day with everybody saying yes; the fleet does not slow itself down: its cars are in the records."""
    traffic = {"hourly_pace": list(paces or ()), "vehicles_per_driver": 1e-9}
    sections = {**city.sections, "traffic": traffic} if paces else city.sections
    asked = Requests(trips.pickup_s, trips.pickup_deg, trips.dropoff_deg, np.ones(len(trips), np.uint8))
    placed = PlacedRequests(asked, trips.pickup_node, trips.dropoff_node)
    inputs = Inputs(replace(city, sections=sections), Path(), placed, cabs, BadRows())
    params = DayParams(acceptance=Acceptance.ALWAYS, is_surge_on=False, is_congestion_on=paces is not None)
    outcome, _ = live(inputs, params, make_policy("optimal", city.graph))
    if outcome.violations:
        raise AssertionError(outcome.violations[0])
    return outcome


def _durations(outcome: Outcome, count: int) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], FloatArray]:
    """Which requests (n,) were carried, and for how many seconds."""
    served, seconds = np.zeros(count, np.bool_), np.zeros(count)
    for ride in outcome.virtual_dispatch.history.rides.values():
        if ride.state is RideState.COMPLETED and ride.dropped_off_s is not None and ride.picked_up_s is not None:
            at = int(ride.ride_id[1:])
            served[at], seconds[at] = True, ride.dropped_off_s - ride.picked_up_s
    return served, seconds


def _report_durations(name: str, recorded: Trips, simulated_s: FloatArray, report: Report) -> None:
    header = ["trips", "count", "recorded median s", "simulated median s", "bias %", "median error %"]
    rows = [
        _errors(label, recorded.duration_s[rows], simulated_s[rows]) for label, rows in _parts(recorded) if rows.any()
    ]
    report.table(f"Trip durations with {name}: bias is of the medians", header, rows)


def _parts(trips: Trips) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.bool_]]]]:
    yield "all", np.ones(len(trips), np.bool_)
    for first in range(0, HOURS, 4):
        yield f"{first:02} to {first + 4:02} h", (trips.hour >= first) & (trips.hour < first + 4)
    minutes = trips.graph_s / 60.0
    for least, most in ((0, 4), (4, 8), (8, 15), (15, 999)):
        label = f"graph says {least} to {most} min" if most < 999 else f"graph says over {least} min"
        yield label, (minutes >= least) & (minutes < most)


def _errors(label: str, recorded_s: FloatArray, simulated_s: FloatArray) -> list[object]:
    medians = float(np.median(recorded_s)), float(np.median(simulated_s))
    error = float(np.median(np.abs(simulated_s - recorded_s) / recorded_s))
    return [label, len(recorded_s), *medians, 100.0 * (medians[1] / medians[0] - 1.0), 100.0 * error]


def _report_occupancy(outcome: Outcome, recorded: Trips, report: Report) -> None:
    """Cabs with a fare aboard at each minute: simulated, and recorded of the same trips."""
    at_s = np.array([sample.at_s for sample in outcome.samples])
    simulated = np.array([sample.drivers[DriverState.ON_TRIP] for sample in outcome.samples])
    begun = np.searchsorted(np.sort(recorded.pickup_s), at_s, side="right")
    ended = np.searchsorted(np.sort(recorded.pickup_s + recorded.duration_s), at_s, side="right")
    aboard = begun - ended
    hour = ((at_s + PACIFIC_DAYLIGHT_S) // HOUR_S % HOURS).astype(int)
    in_day = at_s < FRIDAY_S + HOURS * HOUR_S
    rows = []
    for first in range(0, HOURS, 2):
        chosen = in_day & (hour >= first) & (hour < first + 2)
        means = float(aboard[chosen].mean()), float(simulated[chosen].mean())
        rows.append([f"{first:02} to {first + 2:02} h", *means, 100.0 * (means[1] / means[0] - 1.0)])
    report.table("Cabs with a fare aboard, mean of the minutes", ["hours", "recorded", "simulated", "%"], rows)
    both = np.corrcoef(aboard[in_day], simulated[in_day])[0, 1]
    report.figure("correlation of both, minute by minute", float(both), "")
    total = simulated[in_day].sum() / aboard[in_day].sum()
    report.figure("simulated over recorded, the whole day", float(total), "times")
