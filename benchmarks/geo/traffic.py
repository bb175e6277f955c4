"""Trip durations of a San Francisco Friday, learned from the days before: error and spread, beside simple constants."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common.inputs import bay_area, lattice
from benchmarks.common.measure import SHARED_DATA, Report
from benchmarks.geo.trip_durations import Prediction, TripDurations, Trips
from geo.learning.map_matching import MatchParams, match_pings
from geo.learning.traffic import EdgeSpeeds
from geo.roads.graph import RoadGraph
from geo.roads.snap import EdgeIndex
from geo.roads.travel_times import between
from kernel.local_time import HOURS_PER_WEEK

DAY_S, HOUR_S = 86_400, 3_600
PACIFIC_DAYLIGHT_S = -7 * HOUR_S
# The first of January 1970 was a Thursday; weeks here begin on Monday.
THURSDAY_H = 72
FRIDAY = int(np.datetime64("2008-06-06").astype("datetime64[D]").astype(int))
# No trip is predicted shorter by the constants: both ends may snap to one node.
FREE_FLOW_S_MIN = 30.0


@dataclass(frozen=True)
class Town:
    """Pings with a fare on board (sorted by vehicle), and trips, with local times."""

    graph: RoadGraph
    ping: dict[str, Any]
    trip: dict[str, Any]
    target_day: int


def run(small: bool, report: Report) -> None:
    """Learn, predict, compare; ``small`` does it in a drawn town."""
    if not small and not (SHARED_DATA / "sf").exists():
        report.note("needs ../shared/data/sf: left out")
        return
    town = _drawn_town() if small else _san_francisco(report)
    trip, day = town.trip, town.trip["start_s"] // DAY_S
    hour = _hour_of_week(trip["start_s"])
    before, on_the_day = day < town.target_day, day == town.target_day
    report.note(f"{before.sum():,} trips before the day to learn from, {on_the_day.sum():,} on the day")
    ends = [town.graph.snap(*trip[end].T)[0] for end in ("origin_deg", "destination_deg")]
    free_flow_s = np.maximum(between(town.graph, *ends), FREE_FLOW_S_MIN)
    rows = _constant_rows(free_flow_s, trip["duration_s"], hour, before, on_the_day)
    for name, params in (("nearest street", MatchParams(candidates=2)), ("hidden Markov", MatchParams())):
        began_s = time.process_time()
        speeds = _learn_speeds(town, params)
        report.figure(f"learning speeds, {name} matcher", time.process_time() - began_s, "CPU s")
        network_s = np.maximum(_network_times(town, speeds, ends, hour), FREE_FLOW_S_MIN)
        constant = np.median(trip["duration_s"][before] / network_s[before])
        rows.append(
            [f"learned speeds ({name}) x one constant", *_errors(network_s[on_the_day] * constant, trip, on_the_day)]
        )
        eve = day == town.target_day - 1
        predicted = _predict(trip, network_s, hour, before & ~eve, eve, on_the_day)
        rows.append([f"learned speeds ({name}) and trips alike", *_errors(predicted.median_s, trip, on_the_day)])
    report.table("Trip durations", ["predicted by", "median error %", "mean error %"], rows)
    _spread(predicted, trip["duration_s"][on_the_day], report)
    constant_error, best_error = float(rows[0][1]), float(rows[-1][1])
    report.figure("median error", best_error, "% (aim: 18)")
    report.figure("below free flow x one constant", (1 - best_error / constant_error) * 100, "% (aim: 33.3)")
    report.checksum("predicted", np.round(predicted.median_s))


def _hour_of_week(local_s: Any) -> Any:
    return (local_s // HOUR_S + THURSDAY_H) % HOURS_PER_WEEK


def _errors(predicted_s: Any, trip: dict[str, Any], rows: Any) -> list[float]:
    actual_s = trip["duration_s"][rows]
    share = np.abs(predicted_s - actual_s) / actual_s
    return [float(np.median(share) * 100), float(share.mean() * 100)]


def _constant_rows(free_flow_s: Any, duration_s: Any, hour: Any, before: Any, on_the_day: Any) -> list[list[object]]:
    ratio = duration_s / free_flow_s
    constant = np.median(ratio[before])
    by_hour = np.full(HOURS_PER_WEEK, constant)
    for number in np.unique(hour[before]):
        by_hour[number] = np.median(ratio[before & (hour == number)])
    trip, by_the_hour_s = {"duration_s": duration_s}, free_flow_s * by_hour[hour]
    return [
        ["free flow x one constant", *_errors(free_flow_s[on_the_day] * constant, trip, on_the_day)],
        ["free flow x a constant an hour of the week", *_errors(by_the_hour_s[on_the_day], trip, on_the_day)],
    ]  # fmt: skip


def _learn_speeds(town: Town, params: MatchParams) -> EdgeSpeeds:
    known = town.ping["t_s"] < town.target_day * DAY_S
    vehicle, t_s, place = (town.ping[name][known] for name in ("vehicle", "t_s", "place_deg"))
    drives = match_pings(town.graph, EdgeIndex.of(town.graph), vehicle, t_s, place[:, 0], place[:, 1], params)
    speeds = EdgeSpeeds(town.graph)
    speeds.learn(drives, _hour_of_week(drives.started_s.astype(np.int64)))
    return speeds


def _network_times(town: Town, speeds: EdgeSpeeds, ends: list[Any], hour: Any) -> Any:
    network_s = np.empty(hour.size)
    for number in np.unique(hour):
        now, rows = town.graph.with_travel_times(speeds.travel_times(int(number))), np.flatnonzero(hour == number)
        network_s[rows] = between(now, ends[0][rows], ends[1][rows])
    return network_s


def _predict(trip: dict[str, Any], network_s: Any, hour: Any, past: Any, eve: Any, on_the_day: Any) -> Prediction:
    """Learn from the past, take the spread from the eve of the day, learn from that too, predict the day."""
    trips, durations = Trips(trip["origin_deg"], trip["destination_deg"], hour, network_s), TripDurations()
    durations.learn(trips.where(past), trip["duration_s"][past])
    durations.calibrate(trips.where(eve), trip["duration_s"][eve])
    durations.learn(trips.where(eve), trip["duration_s"][eve])
    return durations.predict(trips.where(on_the_day))


def _spread(predicted: Prediction, actual_s: Any, report: Report) -> None:
    inside = (actual_s >= predicted.low_s) & (actual_s <= predicted.high_s)
    report.figure("durations inside the spread of four in five", float(inside.mean() * 100), "%")
    width = np.median((predicted.high_s - predicted.low_s) / predicted.median_s)
    report.figure("median width of that spread", float(width * 100), "% of the prediction")


def _san_francisco(report: Report) -> Town:
    from pyarrow import parquet

    table = parquet.read_table(SHARED_DATA / "sf" / "pings_2008-06-02_to_06.parquet")
    cab, t_s, lat_e5, lng_e5, fare = (table[name].to_numpy() for name in ("cab_id", "t", "lat_e5", "lon_e5", "occ"))
    # Every stretch with or without a fare is a vehicle of its own: what lies between two fares is not driving.
    is_new = np.append(True, (np.diff(cab.astype(np.int64)) != 0) | (np.diff(fare) != 0))
    aboard = fare == 1
    ping = {
        "vehicle": np.cumsum(is_new)[aboard],
        "t_s": t_s[aboard].astype(np.int64) + PACIFIC_DAYLIGHT_S,
        "place_deg": np.column_stack([lat_e5, lng_e5])[aboard] / 1e5,
    }
    table = parquet.read_table(SHARED_DATA / "sf" / "trips_2008-05-17_to_06-06.parquet")
    clean = table["clean"].fill_null(False).to_numpy()
    column = {
        name: table[name].to_numpy()[clean]
        for name in ("pickup_t", "dur_s", "pu_lat_e5", "pu_lon_e5", "do_lat_e5", "do_lon_e5")
    }
    trip = {
        "start_s": column["pickup_t"].astype(np.int64) + PACIFIC_DAYLIGHT_S,
        "duration_s": column["dur_s"].astype(float),
        "origin_deg": np.column_stack([column["pu_lat_e5"], column["pu_lon_e5"]]) / 1e5,
        "destination_deg": np.column_stack([column["do_lat_e5"], column["do_lon_e5"]]) / 1e5,
    }
    return Town(bay_area(report, small=False), ping, trip, FRIDAY)


def _drawn_town() -> Town:
    """A lattice where everything takes twice the free flow, and one taxi that is seen at every crossing."""
    graph, rng = lattice(12, seed=4), np.random.default_rng(4)
    node = rng.integers(0, graph.node_count, (2, 600))
    day = FRIDAY - rng.integers(0, 5, 600)
    trip = {
        "start_s": day * DAY_S + rng.integers(0, DAY_S, 600),
        "duration_s": (between(graph, *node) * 2 + 60) * rng.lognormal(0, 0.2, 600),
        "origin_deg": np.column_stack([graph.lat_deg, graph.lng_deg])[node[0]],
        "destination_deg": np.column_stack([graph.lat_deg, graph.lng_deg])[node[1]],
    }
    edge = rng.integers(0, graph.edge_count, 200)
    stop = np.column_stack([graph.source[edge], graph.target[edge]]).ravel()
    begin_s = (FRIDAY - 2) * DAY_S + np.arange(200) * 300
    ping = {
        "vehicle": np.repeat(np.arange(200), 2),
        "t_s": np.column_stack([begin_s, begin_s + 2 * graph.travel_time_s[edge]]).ravel().astype(np.int64),
        "place_deg": np.column_stack([graph.lat_deg, graph.lng_deg])[stop],
    }
    return Town(graph, ping, trip, FRIDAY)
