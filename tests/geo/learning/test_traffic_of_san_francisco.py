from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.common.measure import Report
from benchmarks.geo import traffic
from geo.learning.map_matching import MatchParams
from geo.roads.travel_times import between

EVERY_NTH_FARE = 6


def test_a_day_of_some_cabs_already_predicts_better_than_free_flow(shared: Any) -> None:
    shared("sf/pings_2008-06-02_to_06.parquet")
    town = traffic._san_francisco(Report("test", small=False))
    some = (town.ping["vehicle"] % EVERY_NTH_FARE == 0) & (town.ping["t_s"] // traffic.DAY_S == traffic.FRIDAY - 1)
    ping = {name: column[some] for name, column in town.ping.items()}
    speeds = traffic._learn_speeds(traffic.Town(town.graph, ping, town.trip, traffic.FRIDAY), MatchParams())
    hour = traffic._hour_of_week(town.trip["start_s"])
    noon = np.flatnonzero((town.trip["start_s"] // traffic.DAY_S == traffic.FRIDAY) & (hour % 24 == 12))
    ends = [town.graph.snap(*town.trip[end][noon].T)[0] for end in ("origin_deg", "destination_deg")]
    actual_s, errors = town.trip["duration_s"][noon], []
    for graph in (town.graph, town.graph.with_travel_times(speeds.travel_times(int(hour[noon[0]])))):
        network_s = np.maximum(between(graph, *ends), traffic.FREE_FLOW_S_MIN)
        fitted_s = network_s * np.median(actual_s / network_s)
        errors.append(np.median(np.abs(fitted_s / actual_s - 1)))
    assert noon.size > 500
    assert errors[1] < 0.92 * errors[0]
