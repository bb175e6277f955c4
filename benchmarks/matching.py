"""Matching rounds: the sparse assignment beside scipy and OR-Tools, and a whole round on Manhattan's roads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from benchmarks.measure import Report, cpu_s
from dispatch.engine import DispatchEngine
from dispatch.matching import assign
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import DispatchParams, Place, Ride, SupplySnapshot
from geo.city import City, load_city
from geo.travel_times import nearest_by_road
from hexhail.settings import MANHATTAN

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
    city = load_city(MANHATTAN)
    rows = [_assignment(city, n_requests, n_drivers, report) for n_requests, n_drivers in sizes]
    header = ["requests", "drivers", "ours ms", "scipy ms", "OR-Tools ms", "scipy / ours", "OR-Tools / ours"]
    report.table(f"Assignment, k = {K}, clustered in Manhattan, ms of CPU", header, rows)
    _round(city, *((100, 150) if small else (3_000, 4_500)), report)


def _clustered_nodes(city: City, count: int, seed: int) -> NDArray[np.int64]:
    """Nodes round a dozen hot spots: most of the people stand where most of the others do."""
    rng = np.random.default_rng(seed)
    graph = city.graph
    spots = rng.integers(0, graph.node_count, 12)
    which = rng.choice(spots, count)
    lat_deg = graph.lat_deg[which] + rng.normal(0, 0.006, count)
    lng_deg = graph.lng_deg[which] + rng.normal(0, 0.006, count)
    node, _ = graph.snap(lat_deg, lng_deg)
    return np.asarray(node, np.int64)


def _instance(city: City, n_requests: int, n_drivers: int) -> Instance:
    params = DispatchParams()
    pickup_node, driver_node = _clustered_nodes(city, n_requests, 1), _clustered_nodes(city, n_drivers, 2)
    column, eta_s = nearest_by_road(city.graph, driver_node, pickup_node, K, params.pickup_eta_s_max)
    request = np.repeat(np.arange(n_requests), column.shape[1])
    driver, score = column.ravel(), params.pickup_eta_s_max - eta_s.ravel()
    kept = driver >= 0
    return Instance(request[kept], driver[kept], score[kept], n_requests, n_drivers)


def _assignment(city: City, n_requests: int, n_drivers: int, report: Report) -> list[float]:
    problem = _instance(city, n_requests, n_drivers)
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


def _round(city: City, n_requests: int, n_drivers: int, report: Report) -> None:
    pickups = _clustered_nodes(city, n_requests, 1)
    drivers = _clustered_nodes(city, n_drivers, 2)
    rides = [_ride(number, int(node)) for number, node in enumerate(pickups)]
    supply = SupplySnapshot(0.0, tuple(f"d{number:06d}" for number in range(n_drivers)), drivers, np.full(n_drivers, 4))
    engine = DispatchEngine(DispatchParams(), rides, OptimalPolicy(city.graph))
    round_s, matches = cpu_s(lambda: engine.run_round(supply, 0.0))
    report.figure(
        f"whole round {n_requests} x {n_drivers}: candidates by road, scores, assignment", round_s * MS, "ms CPU"
    )
    report.figure("requests matched", len(matches), f"of {n_requests}")


def _ride(number: int, node: int) -> Ride:
    place = Place(0.0, 0.0, node)
    return Ride(f"r{number:06d}", "manhattan", "rider", f"q{number}", place, place, 1, 1000, "USD", 0.0)
