"""Matching rounds: the sparse assignment beside scipy and OR-Tools, and whole rounds on the Bay Area's roads."""

import asyncio
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow
from redis.asyncio import Redis
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from benchmarks.common.inputs import bay_area
from benchmarks.common.measure import Report, cpu_s
from dispatch.adapters.redis_supply import RedisSupply
from dispatch.engine import DispatchEngine
from dispatch.matching import assign
from dispatch.matching.candidates import find_candidates
from dispatch.matching.expected import ExpectedPolicy
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from dispatch.ports import FreeDriver
from dispatch.service.supply import free_supply
from dispatch.weights import ScoreWeights
from geo.city import load_city
from geo.positions import pack
from geo.roads.graph import RoadGraph
from geo.roads.travel_times import nearest_by_road
from hexhail.runtime import embedded
from hexhail.runtime.settings import MANHATTAN
from kernel.points import Place

K = 20
MS = 1e3
#: OR-Tools takes whole numbers: thousandths of a second of score lose nothing that matters.
ORTOOLS_SCALE = 1000


@dataclass(frozen=True)
class Instance:
    """A sparse assignment problem: three arrays (e,) and two sizes."""

    request: NDArray[np.int64]
    driver: NDArray[np.int64]
    score: NDArray[np.float64]
    n_requests: int
    n_drivers: int

    def value(self, chosen: NDArray[np.int64]) -> float:
        """Total score of a solution."""
        score = {(r, d): s for r, d, s in zip(self.request.tolist(), self.driver.tolist(), self.score, strict=True)}
        return float(sum(score[row, column] for row, column in enumerate(chosen.tolist()) if column >= 0))


def run(small: bool, report: Report) -> None:
    """Measure everything; ``small`` shrinks all inputs."""
    sizes = [(100, 150)] if small else [(1_000, 1_000), (3_000, 3_000), (3_000, 4_500), (10_000, 12_000)]
    manhattan = load_city(MANHATTAN).graph
    rows = [_assignment(manhattan, n_requests, n_drivers, report) for n_requests, n_drivers in sizes]
    header = ["requests", "drivers", "ours ms", "scipy ms", "OR-Tools ms", "scipy / ours", "OR-Tools / ours"]
    report.table(f"Assignment, k = {K}, clustered in Manhattan, ms of CPU", header, rows)
    bay = bay_area(report, small=small)
    growth = [(100, 150)] if small else [(500, 750), (1_000, 1_500), (3_000, 4_500), (10_000, 15_000), (20_000, 50_000)]
    rows = [_round(bay, n_requests, n_drivers) for n_requests, n_drivers in growth]
    header = ["requests", "drivers", "round ms CPU", "search ms", "assignment ms", "rest ms", "matched"]
    report.table(f"Whole rounds on the Bay Area's roads, clustered, k = {K}", header, rows)
    _scores(bay, *((100, 150) if small else (3_000, 4_500)), report)
    asyncio.run(_round_from_redis(bay, *((100, 150) if small else (3_000, 4_500)), report))


def _clustered_nodes(
    graph: RoadGraph, count: int, seed: int, spots: int = 12, spots_seed: int | None = None, spread_deg: float = 0.006
) -> NDArray[np.int64]:
    """Nodes round hot spots: most of the people stand where most of the others do.

    In a small city any dozen will do; in a large one riders and drivers must share theirs to meet.
    """
    rng = np.random.default_rng(seed)
    spot = (rng if spots_seed is None else np.random.default_rng(spots_seed)).integers(0, graph.node_count, spots)
    which = rng.choice(spot, count)
    lat_deg = graph.lat_deg[which] + rng.normal(0, spread_deg, count)
    lng_deg = graph.lng_deg[which] + rng.normal(0, spread_deg, count)
    node, _ = graph.snap(lat_deg, lng_deg)
    return np.asarray(node, np.int64)


def _bay_nodes(graph: RoadGraph, count: int, seed: int) -> NDArray[np.int64]:
    """Nodes round forty towns of some three kilometres, the same for riders and drivers."""
    return _clustered_nodes(graph, count, seed, spots=40, spots_seed=3, spread_deg=0.03)


def _instance(graph: RoadGraph, n_requests: int, n_drivers: int) -> Instance:
    params = DispatchParams()
    pickup_node, driver_node = _clustered_nodes(graph, n_requests, 1), _clustered_nodes(graph, n_drivers, 2)
    column, eta_s = nearest_by_road(graph, driver_node, pickup_node, K, params.pickup_eta_s_max)
    request = np.repeat(np.arange(n_requests), column.shape[1])
    driver, score = column.ravel(), params.pickup_eta_s_max - eta_s.ravel()
    kept = driver >= 0
    return Instance(request[kept], driver[kept], score[kept], n_requests, n_drivers)


def _assignment(graph: RoadGraph, n_requests: int, n_drivers: int, report: Report) -> list[float]:
    problem = _instance(graph, n_requests, n_drivers)
    ours_s, chosen = cpu_s(
        lambda: assign(problem.request, problem.driver, problem.score, n_requests, n_drivers), repeats=5
    )
    scipy_s, by_scipy = cpu_s(lambda: _by_scipy(problem), repeats=3)
    ortools_s, by_ortools = cpu_s(lambda: _by_ortools(problem), repeats=3)
    ours, other, third = problem.value(chosen), problem.value(by_scipy), problem.value(by_ortools)
    if not np.isclose(ours, other, rtol=1e-9) or abs(ours - third) > n_requests / ORTOOLS_SCALE:
        raise AssertionError(f"the solvers disagree: {ours}, {other}, {third}")
    report.checksum(f"assignment {n_requests} x {n_drivers}", np.array([ours]))
    times = [ours_s * MS, scipy_s * MS, ortools_s * MS]
    return [n_requests, n_drivers, *times, scipy_s / ours_s, ortools_s / ours_s]


def _by_scipy(problem: Instance) -> NDArray[np.int64]:
    """Scipy needs every row matched: each request gets a private column that is worth almost nothing."""
    own = np.arange(problem.n_requests)
    rows = np.concatenate([problem.request, own])
    columns = np.concatenate([problem.driver, problem.n_drivers + own])
    # A stored zero would be no edge at all, so everything is worth a little more by the same amount.
    worth = np.concatenate([problem.score, np.zeros(problem.n_requests)]) + 1.0
    shape = (problem.n_requests, problem.n_drivers + problem.n_requests)
    _, chosen = min_weight_full_bipartite_matching(csr_matrix((worth, (rows, columns)), shape), maximize=True)
    return np.where(chosen < problem.n_drivers, chosen, -1)


def _by_ortools(problem: Instance) -> NDArray[np.int64]:
    flow = SimpleMinCostFlow()
    source = problem.n_requests + problem.n_drivers
    sink = source + 1
    requests, drivers = np.arange(problem.n_requests), problem.n_requests + np.arange(problem.n_drivers)
    cost = -np.rint(problem.score * ORTOOLS_SCALE).astype(np.int64)
    pairs = flow.add_arcs_with_capacity_and_unit_cost(
        problem.request, problem.n_requests + problem.driver, np.ones(len(cost), np.int64), cost
    )
    for tails, heads in (
        (np.full(len(requests), source), requests),
        (drivers, np.full(len(drivers), sink)),
        (requests, np.full(len(requests), sink)),
    ):
        ones = np.ones(len(tails), np.int64)
        flow.add_arcs_with_capacity_and_unit_cost(tails, heads, ones, np.zeros(len(tails), np.int64))
    flow.set_node_supply(source, problem.n_requests)
    flow.set_node_supply(sink, -problem.n_requests)
    if flow.solve() != flow.OPTIMAL:
        raise AssertionError("OR-Tools found no optimum")
    chosen = np.full(problem.n_requests, -1)
    used = flow.flows(pairs) > 0
    chosen[problem.request[used]] = problem.driver[used]
    return chosen


def _round(graph: RoadGraph, n_requests: int, n_drivers: int) -> list[float]:
    """A row of the table: the round, its two great parts, what is left, and how many were matched."""
    engine, nodes = _waiting_engine(graph, n_requests), _bay_nodes(graph, n_drivers, 2)
    supply = SupplySnapshot(0.0, _names(n_drivers), nodes, np.full(n_drivers, 4))
    round_s, decision = cpu_s(lambda: engine.decide_round(supply, 0.0), repeats=3)
    pickups, params = np.array([ride.pickup.node for ride in engine.waiting()]), DispatchParams()
    search_s, _ = cpu_s(lambda: nearest_by_road(graph, nodes, pickups, K, params.pickup_eta_s_max), repeats=3)
    considered = decision.considered
    assert considered is not None  # the optimal policy says what it considered
    pairs, score = considered.candidates, considered.score
    assign_s, _ = cpu_s(lambda: assign(pairs.request, pairs.driver, score, n_requests, n_drivers), repeats=3)
    parts = [round_s, search_s, assign_s, round_s - search_s - assign_s]
    return [n_requests, n_drivers, *(part * MS for part in parts), len(decision.matches)]


def _scores(graph: RoadGraph, n_requests: int, n_drivers: int, report: Report) -> None:
    """What scoring costs: the default weights, every term, and the chance of a yes on top."""
    waiting, nodes = _waiting_engine(graph, n_requests).waiting(), _bay_nodes(graph, n_drivers, 2)
    supply = SupplySnapshot(
        0.0, _names(n_drivers), nodes, np.full(n_drivers, 4), idle_since_s=np.full(n_drivers, -600.0),
        rating=np.full(n_drivers, 4.7), rating_count=np.full(n_drivers, 50),
    )  # fmt: skip
    pairs = find_candidates(graph, waiting, supply, DispatchParams())
    every = ScoreWeights(efficiency_s=60.0, rating_s_per_star=30.0, idle=0.02, price_s_per_cent=0.01)
    for name, policy, weights in (
        ("default weights", OptimalPolicy(graph), ScoreWeights()),
        ("every term", OptimalPolicy(graph), every),
        ("every term, expected", ExpectedPolicy(graph), every),
    ):
        params = DispatchParams(score=weights)
        spent_s, considered = cpu_s(partial(policy.weigh, pairs, waiting, supply, params, 0.0))
        report.checksum(f"scores {name}", considered.score)
        report.figure(
            f"scores of {len(pairs.request):,} pairs, {name}", spent_s * 1e9 / len(pairs.request), "ns a pair"
        )


async def _round_from_redis(graph: RoadGraph, n_requests: int, n_drivers: int, report: Report) -> None:
    """The same round by the clock on the wall, alone and with the snapshot read from a real server."""
    engine, nodes = _waiting_engine(graph, n_requests), _bay_nodes(graph, n_drivers, 2)
    free, params = dict.fromkeys(_names(n_drivers), FreeDriver(4, 0.0)), DispatchParams()
    with tempfile.TemporaryDirectory() as folder:
        port = embedded.free_port()
        server = subprocess.Popen(
            embedded.valkey_command(port, Path(folder)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            await embedded.wait_for_port(port, "Valkey")
            async with Redis(port=port) as redis:
                reader = RedisSupply(redis, "bay", await _fill(redis, graph, nodes))
                read_s, decide_s = [], []
                for _ in range(6):
                    began = time.perf_counter()
                    supply = free_supply(await reader.positions(), free, graph, params, 0.0)
                    read_s.append(time.perf_counter() - began)
                    engine.run_round(supply, 0.0)
                    decide_s.append(time.perf_counter() - began - read_s[-1])
        finally:
            server.terminate()
            server.wait()
    # The first one warms up.
    decided, read = statistics.median(decide_s[1:]) * MS, statistics.median(read_s[1:]) * MS
    report.figure(f"round {n_requests} x {n_drivers} without the read", decided, "ms on the wall")
    report.figure(f"snapshot of {n_drivers} drivers from Redis, snapped to roads", read, "ms on the wall")
    report.figure(f"round {n_requests} x {n_drivers} with the read", decided + read, "ms on the wall")


async def _fill(redis: Redis, graph: RoadGraph, nodes: NDArray[np.int64]) -> list[str]:
    """Put a driver on each node into cells of some 20 drivers each; returns the cells."""
    zeros = np.zeros(len(nodes))
    packed = pack(zeros, graph.lat_deg[nodes], graph.lng_deg[nodes], zeros, zeros)
    cells = [f"cell{number}" for number in range(max(1, len(nodes) // 20))]
    pipeline = redis.pipeline(transaction=False)
    for number, name in enumerate(_names(len(nodes))):
        pipeline.hset(f"{{bay}}:cell:{cells[number % len(cells)]}", name, packed[number].tobytes())
    await pipeline.execute()
    return cells


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"d{number:06d}" for number in range(count))


def _waiting_engine(graph: RoadGraph, n_requests: int) -> DispatchEngine:
    pickups = _bay_nodes(graph, n_requests, 1)
    rides = [_ride(number, int(node)) for number, node in enumerate(pickups)]
    return DispatchEngine(DispatchParams(), rides, OptimalPolicy(graph))


def _ride(number: int, node: int) -> Ride:
    place = Place(0.0, 0.0, node)
    return Ride(f"r{number:06d}", "manhattan", "rider", f"q{number}", place, place, 1, 1000, "USD", 0.0)
