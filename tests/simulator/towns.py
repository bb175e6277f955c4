"""A town of 5 by 5 corners, 100 m and 10 s apart, every street two-way; and people in it, as a run takes them."""

from pathlib import Path

import numpy as np

from geo.city import City, Region
from geo.roads.graph import RoadGraph
from hexhail.runs.simulate import Inputs
from simulator.demand.inputs import BadRows, DriverStarts, PlacedRequests
from simulator.demand.requests import Requests

TARIFF = {
    "currency": "USD",
    "base_cents": 250,
    "per_km_cents": 125,
    "per_minute_cents": 35,
    "minimum_cents": 700,
    "rounding_cents": 1,
}
FOUR_SEATS = 4
SIDE = 5
STEP_DEG = 0.0009


def small_town(west_deg: float = 0.0) -> RoadGraph:
    """The town with its west end at a longitude; what lies past 180° is written from -180° on."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    edges = [
        (node, other)
        for node in range(SIDE * SIDE)
        for other in range(SIDE * SIDE)
        if abs(row[node] - row[other]) + abs(column[node] - column[other]) == 1
    ]
    source, target = zip(*edges, strict=True)
    return RoadGraph.from_arrays(
        row * STEP_DEG,
        (west_deg + column * STEP_DEG + 180.0) % 360.0 - 180.0 if west_deg else column * STEP_DEG,
        source,
        target,
        np.full(len(edges), 100.0),
        np.full(len(edges), 10.0),
    )


def crowded(town: RoadGraph, *, count: int = 150, last_s: int = 900, drivers: int = 9, seed: int = 5) -> Inputs:
    """So many requests between random corners of a town of 25, and drivers at random corners."""
    rng = np.random.default_rng(seed)
    t_s = np.sort(rng.integers(0, last_s, count)).astype(float)
    pickup = rng.integers(0, 25, count)
    dropoff = (pickup + rng.integers(1, 25, count)) % 25
    places = [np.column_stack([town.lat_deg[node], town.lng_deg[node]]) for node in (pickup, dropoff)]
    city = City(Region("town", "Town", "UTC", "USD", 9, 9, 200.0, ""), town, {"tariff": TARIFF})
    return Inputs(
        city,
        Path("town"),
        PlacedRequests(Requests(t_s, *places, np.ones(count, np.uint8)), pickup, dropoff),
        DriverStarts(rng.integers(0, 25, drivers), np.full(drivers, FOUR_SEATS)),
        BadRows(),
    )
