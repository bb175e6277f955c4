"""Whoever asks for the roads gets the newest weights, and never old ones."""

from __future__ import annotations

import numpy as np
import pytest

from geo.city import Region
from geo.learning.map_matching import Drives
from geo.learning.traffic import EdgeSpeeds
from geo.roads.graph import RoadGraph
from traffic.model import LearnedTrafficParams, Weights
from traffic.ports import WeightsUnusable
from traffic.service.watch import TrafficWatch

REGION = Region(
    region_id="town",
    name="Town",
    timezone="Europe/Zurich",
    currency="CHF",
    search_resolution=8,
    surge_resolution=8,
    off_road_m_max=200.0,
    attribution="",
)
#: A Monday, 08:30 in Zurich.
MONDAY_S = 1_767_598_200.0


class Kept:
    """Weights that a test sets."""

    def __init__(self) -> None:
        self.weights: Weights | None = None
        self.error: Exception | None = None

    async def stamp(self) -> tuple[int, int] | None:
        if isinstance(self.error, OSError):
            raise self.error
        return None if self.weights is None else (self.weights.epoch, self.weights.version)

    async def read(self) -> Weights | None:
        if self.error is not None:
            raise self.error
        return self.weights


class Clock:
    now_s = MONDAY_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def times(watch: TrafficWatch) -> np.ndarray:
    return watch.roads().travel_time_s


async def test_new_weights_are_used_from_the_next_look_on_and_a_decision_keeps_its_roads(
    graph: RoadGraph, free: np.ndarray, kept: Kept, clock: Clock
) -> None:
    watch = TrafficWatch(REGION, graph, LearnedTrafficParams(), kept, clock)
    await watch.look()
    assert watch.roads() is graph
    assert watch.source == "free_flow"
    kept.weights = Weights(1, 5, clock.now_s, free * 2.0)
    await watch.look()
    deciding = watch.roads()
    kept.weights = Weights(2, 5, clock.now_s, free * 3.0)
    await watch.look()
    assert deciding.travel_time_s == pytest.approx(2.0 * graph.travel_time_s)
    assert times(watch) == pytest.approx(3.0 * graph.travel_time_s)
    assert watch.source == "learned"


async def test_looking_without_news_changes_nothing(
    graph: RoadGraph, free: np.ndarray, kept: Kept, clock: Clock
) -> None:
    watch = TrafficWatch(REGION, graph, LearnedTrafficParams(), kept, clock)
    kept.weights = Weights(1, 5, clock.now_s, free * 2.0)
    await watch.look()
    roads = watch.roads()
    await watch.look()
    assert watch.roads() is roads


async def test_weights_that_nobody_renews_give_way_to_the_usual_traffic(
    graph: RoadGraph, free: np.ndarray, kept: Kept, clock: Clock
) -> None:
    params = LearnedTrafficParams()
    watch = TrafficWatch(REGION, graph, params, kept, clock, usual_traffic(graph))
    kept.weights = Weights(1, 5, clock.now_s, free * 2.0)
    await watch.look()
    kept.error = ConnectionError("Redis is away")
    clock.now_s += params.keep_s
    assert watch.source == "learned"
    clock.now_s += 1.0
    assert watch.source == "profile"
    assert np.median(times(watch) / graph.travel_time_s) == pytest.approx(1.5, rel=0.1)


async def test_the_usual_traffic_is_that_of_the_hour(graph: RoadGraph, kept: Kept, clock: Clock) -> None:
    watch = TrafficWatch(REGION, graph, LearnedTrafficParams(), kept, clock, usual_traffic(graph))
    await watch.look()
    morning = np.median(times(watch))
    clock.now_s += 5 * 3600.0
    await watch.look()
    assert np.median(times(watch)) < 0.8 * morning


async def test_weights_that_are_none_leave_what_is_in_force(
    graph: RoadGraph, free: np.ndarray, kept: Kept, clock: Clock
) -> None:
    watch = TrafficWatch(REGION, graph, LearnedTrafficParams(), kept, clock)
    kept.weights = Weights(1, 5, clock.now_s, free * 2.0)
    await watch.look()
    kept.weights, kept.error = Weights(2, 5, clock.now_s, free), WeightsUnusable("of other roads")
    await watch.look()
    assert times(watch) == pytest.approx(2.0 * graph.travel_time_s)
    kept.weights, kept.error = None, None  # Redis lost them
    await watch.look()
    assert times(watch) == pytest.approx(2.0 * graph.travel_time_s)


async def test_a_city_that_has_learning_switched_off_keeps_its_own_travel_times(
    graph: RoadGraph, free: np.ndarray, kept: Kept, clock: Clock
) -> None:
    watch = TrafficWatch(REGION, graph, LearnedTrafficParams(is_on=False), kept, clock)
    kept.weights = Weights(1, 5, clock.now_s, free * 2.0)
    await watch.look()
    assert watch.roads() is graph


def usual_traffic(graph: RoadGraph) -> EdgeSpeeds:
    """Half as fast again on Monday at 8, free flow at 13."""
    speeds = EdgeSpeeds(graph)
    for hour, factor in ((8, 1.5), (13, 1.0)):
        edge = np.tile(np.arange(graph.edge_count), 60)
        step = np.arange(len(edge))
        free_s = graph.travel_time_s[edge]
        speeds.learn(Drives(step, np.zeros(len(edge)), free_s * factor, step, edge, free_s), np.full(len(edge), hour))
    return speeds
