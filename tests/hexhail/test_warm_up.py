"""A process is ready only when the kernels are loaded that its first requests call."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.patience import PATIENCE_S

#: Loads the kernels of a role, does what its first requests do, and prints which kernels were loaded only then.
CODE = """
import gc, sys

import numpy as np
from numba.core.dispatcher import Dispatcher

from api.nearby import nearest_drivers, nearest_eta_s
from api.supply import RecentDrivers
from dispatch.matching import assign
from dispatch.model import DispatchParams
from dispatch.ports import FreeDriver, Positions
from dispatch.service.supply import free_supply
from geo.city import load_city
from hexhail.roles.api_parts import region_of_cells
from hexhail.runtime import warm_up
from hexhail.runtime.settings import MANHATTAN
from kernel.points import Point
from location_ingest.kernels import load_kernels
from pricing.service.quotes import find_trip, snapped

city = load_city(MANHATTAN)
graph = city.graph


def loaded():
    kernels = [one for one in gc.get_objects() if isinstance(one, Dispatcher) and one.overloads]
    return {f"{one.py_func.__module__}.{one.py_func.__name__}" for one in kernels}


def edges():
    here, there = (Point(float(graph.lat_deg[n]), float(graph.lng_deg[n])) for n in (9, graph.node_count // 2))
    find_trip(city.region, graph, here, there)
    lat_deg, lng_deg = graph.lat_deg[[9, 11]], graph.lng_deg[[9, 11]]
    assert (region_of_cells(city)(lat_deg, lng_deg) == 0).all()
    positions = Positions(("a", "b"), lat_deg, lng_deg, np.full(2, np.nan), np.full(2, 100.0))
    free = {name: FreeDriver(4, 0.0) for name in "ab"}
    drivers = RecentDrivers(positions, free, free_supply(positions, free, graph, DispatchParams(), 101.0), 0.0)
    assert nearest_eta_s(drivers, graph, here, 900.0) is not None
    assert nearest_drivers(drivers, graph, snapped(city.region, graph, "pickup", here), 2, 5000.0, 900.0)


def matching():
    edges()
    assign([0, 1], [0, 1], [1.0, 2.0], 2, 2)


ROLES = {
    "edges": (lambda: warm_up.warm_edges(city), edges),
    "matching": (lambda: warm_up.warm_matching(city), matching),
    "ingest": (warm_up.warm_ingest, load_kernels),
}
warm, use = ROLES[sys.argv[1]]
warm()
before = loaded()
assert before
use()
print(*sorted(loaded() - before))
"""


@pytest.mark.parametrize("role", ["edges", "matching", "ingest"])
def test_the_first_requests_find_every_kernel_loaded(role: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, role], check=False, capture_output=True, text=True, timeout=10 * PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
