"""A drawn town with people who mind prices: an evening on which a stadium empties, and a quiet night."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.common.inputs import lattice
from dispatch.matching.registry import make_policy
from geo.arrays import FloatArray, IntArray
from geo.city import City, Region, load_city
from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import between
from geo.zones import Zones
from hexhail.runtime.settings import MANHATTAN
from simulator.day import Day, Outcome
from simulator.day_params import DayParams
from simulator.demand.inputs import DriverStarts, PlacedRequests
from simulator.demand.requests import Requests
from simulator.model import RiderParams
from simulator.people.habits import Habit, PriceFollower, PriceFollowingParams, Prices, ReceiptOfRide
from simulator.people.population import People

HOUR_S = 3600.0
MINUTE_S = 60.0
SIDE = 40
STADIUM_M = 450.0
FOUR_SEATS = 4
#: Prices may fall to three quarters, so that a quiet night has somewhere to go.
SURGE = {"surge_floor": 0.75}


@dataclass(frozen=True)
class Scenario:
    """Who wants to ride and who drives. Rates are riders an hour who look at a price."""

    name: str
    hours: float
    riders_per_h: float
    drivers: int
    #: Of those who look, who rides at the base price.
    acceptance_share: float
    #: From the stadium, between the two minutes; and again after each gap, until there were so many.
    crowd: int = 0
    crowd_min: tuple[float, float] = (60.0, 80.0)
    crowds: int = 1
    gap_min: float = 0.0

    @property
    def casual(self) -> int:
        """How many drivers work only if it pays."""
        return round(PriceFollowingParams().casual_share * self.drivers)


#: Sized so that at the base price six in ten drivers have a rider before the crowd comes, which is then twice what all
#: drivers can carry. Of those who look at a price two thirds ride, as apps report.
STADIUM = Scenario("a stadium empties", 2.5, 500.0, 140, 0.65, crowd=700)
QUIET = Scenario("a quiet night", 2.5, 120.0, 140, 0.65)
SMALL = 0.15


def shrunk(scenario: Scenario) -> Scenario:
    """The same in a fraction of the time, by a fraction of the people."""
    return replace(
        scenario,
        hours=0.5,
        drivers=round(scenario.drivers * SMALL),
        riders_per_h=scenario.riders_per_h * SMALL,
        crowd=round(scenario.crowd * SMALL),
        crowd_min=(8.0, 12.0),
        crowds=min(scenario.crowds, 2),
        gap_min=min(scenario.gap_min, 10.0),
    )


@dataclass(frozen=True)
class Town:
    """The city, its zones, and the corners around the stadium."""

    city: City
    zones: Zones
    stadium: IntArray
    #: The surge cell (an index) that most of these corners lie in.
    stadium_cell: int


def make_town(side: int = SIDE) -> Town:
    """Draw the town: `side` by `side` corners, some 110 m apart, the stadium off its middle."""
    graph = _where_all_meet(lattice(side, seed=1))
    sections = {"tariff": load_city(MANHATTAN).sections["tariff"], "surge": SURGE}
    city = City(Region("town", "Town", "UTC", "USD", 8, 8, 200.0, ""), graph, sections)
    box = city.bounds_deg
    lat_deg = box["south"] + (box["north"] - box["south"]) / 3.0
    lng_deg = box["east"] - (box["east"] - box["west"]) / 3.0
    away_m = great_circle_m(graph.lat_deg, graph.lng_deg, lat_deg, lng_deg)
    zones, stadium = Zones.of(city), np.flatnonzero(away_m <= STADIUM_M)
    cell = int(zones.surge_index[np.bincount(zones.of_node[stadium]).argmax()])
    return Town(city, zones, stadium, cell)


def _where_all_meet(graph: RoadGraph) -> RoadGraph:
    """The part of a graph whose corners all reach each other, through the middle one."""
    every = np.arange(graph.node_count)
    middle = np.full_like(every, graph.node_count // 2 + int(graph.node_count**0.5) // 2)
    there, back = between(graph, middle, every), between(graph, every, middle)
    kept = np.isfinite(there) & np.isfinite(back)
    number, edge = np.cumsum(kept) - 1, kept[graph.source] & kept[graph.target]
    ends = number[graph.source[edge]], number[graph.target[edge]]
    return RoadGraph.from_arrays(
        graph.lat_deg[kept], graph.lng_deg[kept], *ends, graph.length_m[edge], graph.travel_time_s[edge]
    )


def live(
    town: Town,
    scenario: Scenario,
    seed: int,
    *,
    is_surge_on: bool,
    with_habits: Callable[[People], People] = lambda people: people,
) -> tuple[Outcome, PlacedRequests]:
    """Live the scenario by the shipped engines; the same seed draws the same people, with surge and without."""
    rng = np.random.default_rng(seed)
    requests = draw_requests(town, scenario, rng)
    node = rng.integers(0, town.city.graph.node_count, scenario.drivers)
    starts = DriverStarts(node, np.full(scenario.drivers, FOUR_SEATS))
    params = DayParams(seed=seed, is_surge_on=is_surge_on, batch_window_s=5.0, boarding_s=30.0)
    riders = RiderParams(acceptance_share=scenario.acceptance_share)
    people = with_habits(People(riders, price_followers(town.zones, PriceFollowingParams(), scenario.casual)))
    policy = make_policy("optimal", town.city.graph, None)
    outcome = Day(town.city, requests, starts, policy, params, people).run()
    if outcome.violations or outcome.virtual_dispatch.policy_faults.count:
        raise AssertionError(f"{scenario.name}, seed {seed}: {outcome.violations[:1]}")
    return outcome, requests


def price_followers(
    zones: Zones, params: PriceFollowingParams, casual: int
) -> Callable[[City, Prices | None, ReceiptOfRide], Callable[[int], Habit]]:
    """Drivers who follow prices; the first are casual, spread evenly over what they ask for."""

    def make(city: City, prices: Prices | None, bills: ReceiptOfRide) -> Callable[[int], Habit]:
        def habit_of(number: int) -> Habit:
            reluctance = (number + 0.5) / casual if number < casual else 0.0
            return PriceFollower(zones, prices, params, reluctance)

        return habit_of

    return make


def draw_requests(town: Town, scenario: Scenario, rng: np.random.Generator) -> PlacedRequests:
    """A Poisson stream from anywhere to anywhere, and the crowd on top, which leaves from the stadium."""
    count = int(rng.poisson(scenario.riders_per_h * scenario.hours))
    t_s, pickup = rng.uniform(0.0, scenario.hours * HOUR_S, count), _anywhere(town, count, rng)
    begin_min, end_min = scenario.crowd_min
    for number in range(scenario.crowds):
        within_min = rng.uniform(begin_min, end_min, scenario.crowd) + number * scenario.gap_min
        t_s = np.concatenate([t_s, within_min * MINUTE_S])
        pickup = np.concatenate([pickup, rng.choice(town.stadium, scenario.crowd)])
    dropoff = _anywhere(town, t_s.size, rng)
    order = np.argsort(t_s, kind="stable")
    order = order[pickup[order] != dropoff[order]]
    t_s, pickup, dropoff = t_s[order], pickup[order], dropoff[order]
    graph = town.city.graph
    places: list[FloatArray] = [np.column_stack([graph.lat_deg[at], graph.lng_deg[at]]) for at in (pickup, dropoff)]
    return PlacedRequests(Requests(t_s, *places, np.ones(t_s.size, np.uint8)), pickup, dropoff)


def _anywhere(town: Town, count: int, rng: np.random.Generator) -> IntArray:
    return rng.integers(0, town.city.graph.node_count, count)
