"""A drawn town whose drivers wander, each street as slow as the test says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geo.roads.graph import RoadGraph
from traffic.engine import TrafficEngine
from traffic.model import Candidate, LearnedTrafficParams, Refusal
from traffic.rules.checks import refusal_of

SIDE = 8
BLOCK_M, SPEED_MPS = 200.0, 10.0
DEG_LAT, DEG_LNG = BLOCK_M / 111_195.0, BLOCK_M / (111_195.0 * np.cos(np.radians(47.0)))


def grid() -> RoadGraph:
    """A grid of crossings 200 m apart, every street in both directions at 10 m/s."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    east, north = np.flatnonzero(column < SIDE - 1), np.flatnonzero(row < SIDE - 1)
    source, target = np.concatenate([east, north]), np.concatenate([east + 1, north + SIDE])
    source, target = np.concatenate([source, target]), np.concatenate([target, source])
    length_m = np.full(len(source), BLOCK_M)
    return RoadGraph.from_arrays(
        47.0 + row * DEG_LAT, 8.0 + column * DEG_LNG, source, target, length_m, length_m / SPEED_MPS
    )


def row_of(graph: RoadGraph, row: int) -> np.ndarray:
    """The edges along one row of the grid, in both directions."""
    return np.flatnonzero((graph.source // SIDE == row) & (graph.target // SIDE == row))


class Fleet:
    """Drivers who turn at random and never back, seen each few seconds by receivers that err by some metres."""

    def __init__(self, graph: RoadGraph, drivers: int, seed: int = 1, *, along: int | None = None) -> None:
        """With ``along`` they drive up and down that row instead."""
        self.graph = graph
        self.rng = np.random.default_rng(seed)
        self.ids = [f"driver-{seed}-{number}" for number in range(drivers)]
        self.along = along
        start = self.rng.integers(0, graph.node_count, drivers) if along is None else np.full(drivers, along * SIDE)
        if along is not None:
            start = start + self.rng.integers(0, SIDE, drivers)
        self.edge = [self._next(int(node), -1) for node in start]
        self.left_m = self.rng.uniform(0.0, BLOCK_M, drivers)

    def _next(self, node: int, came_from: int) -> int:
        rows = self.graph.leaving
        ways = rows.edge[rows.offset[node] : rows.offset[node + 1]]
        if self.along is not None:
            ways = ways[self.graph.target[ways] // SIDE == self.along]
        onward = ways[self.graph.target[ways] != came_from]
        return int(self.rng.choice(onward if len(onward) else ways))

    def drive(
        self, factor: np.ndarray, from_s: float, until_s: float, every_s: float = 4.0, noise_m: float = 5.0
    ) -> tuple[list[str], np.ndarray]:
        """Drive at ``factor`` times free flow; return whose pings these are and (n, 3) t_s, lat_deg, lng_deg.

        Pings are of whole multiples of ``every_s``: driving to a time and on from there is driving at once.
        """
        ids, places = [], []
        for t_s in np.arange(np.ceil(from_s / every_s), np.ceil(until_s / every_s)) * every_s:
            for at in range(len(self.ids)):
                self._advance(at, factor, every_s)
                edge = self.edge[at]
                share = 1.0 - self.left_m[at] / BLOCK_M
                source, target = self.graph.source[edge], self.graph.target[edge]
                lat, lng = (
                    (1 - share) * column[source] + share * column[target]
                    for column in (self.graph.lat_deg, self.graph.lng_deg)
                )
                north, east = self.rng.normal(0.0, noise_m, 2) / BLOCK_M
                ids.append(self.ids[at])
                places.append((t_s, lat + north * DEG_LAT, lng + east * DEG_LNG))
        return ids, np.array(places).reshape(-1, 3)

    def _advance(self, at: int, factor: np.ndarray, seconds: float) -> None:
        while seconds > 0.0:
            speed = SPEED_MPS / factor[self.edge[at]]
            if self.left_m[at] > speed * seconds:
                self.left_m[at] -= speed * seconds
                return
            seconds -= self.left_m[at] / speed
            source, target = self.graph.source[self.edge[at]], self.graph.target[self.edge[at]]
            self.edge[at], self.left_m[at] = self._next(int(target), int(source)), BLOCK_M


class Town:
    """An engine with weights in force, updated each five minutes with whatever fleets have driven."""

    def __init__(
        self,
        graph: RoadGraph,
        params: LearnedTrafficParams | None = None,
        judge: Callable[[Candidate, np.ndarray, LearnedTrafficParams], Refusal | None] = refusal_of,
    ) -> None:
        self.graph = graph
        self.params = params or LearnedTrafficParams()
        self.judge = judge
        self.engine = TrafficEngine(graph, self.params)
        self.base = np.ones(graph.edge_count)
        self.in_force = self.base
        self.now_s = self.made_s = 1.7e9
        self.candidate: Candidate | None = None

    def live(self, *fleets: tuple[Fleet, np.ndarray]) -> Refusal | None:
        """Have each fleet drive at its factors until the next update; return why that was refused."""
        until_s = self.now_s + self.params.update_every_s
        for fleet, factor in fleets:
            self.engine.take(*fleet.drive(factor, self.now_s, until_s))
        self.now_s = until_s
        self.candidate = self.engine.propose(self.in_force, self.base, until_s - self.made_s, until_s)
        refusal = self.judge(self.candidate, self.graph.length_m, self.params)
        self.engine.settle(refusal)
        if refusal is None:
            self.in_force, self.made_s = self.candidate.factor, until_s
        return refusal
