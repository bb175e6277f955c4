"""Who can drive to a rider in time: the seconds between the centres of cells, by road or as the crow flies."""

from __future__ import annotations

import numpy as np

from geo import cells
from geo.arrays import BoolArray, CellArray, FloatArray, IntArray
from geo.city import City
from geo.distances import great_circle_m
from geo.roads import travel_times
from geo.roads.graph import RoadGraph
from pricing.rules.grid import Reach, SurgeGrid

#: Drivers reach cells up to so many steps away: at two minutes' reach and a kilometre a step, 4 % of one is farther.
STEPS_MAX = 3
#: Between a cell's centre and its nearest crossing, and where no roads are known: 25 km/h, a city's usual pace.
SPEED_MPS = 7.0


def grid_of(city: City, reach_s: float) -> SurgeGrid:
    """Return the surge cells of a city, supply spread by the free-flow times of its roads.

    Takes one bounded search of the road graph for each cell.
    """
    return SurgeGrid.of(city.surge_cells, by_road(city.graph, city.surge_cells, city.region.surge_resolution, reach_s))


def by_road(graph: RoadGraph, surge_cells: CellArray, resolution: int, reach_s: float) -> Reach:
    """Spread drivers over cells that have roads; a cell without any is supplied by those in it alone.

    Cells between which there is no way, such as over a river without a bridge, do not supply each other.
    """
    has_roads = np.isin(surge_cells, cells.latlng_to_cells(graph.lat_deg, graph.lng_deg, resolution))
    origin, destination = _pairs(surge_cells, has_roads)
    node, off_road_m = graph.snap(*cells.cell_to_latlng(surge_cells))
    road_s = travel_times.between(graph, node[origin], node[destination])
    eta_s = road_s + (off_road_m[origin] + off_road_m[destination]) / SPEED_MPS
    return Reach.of_times(
        origin, destination, np.where(origin == destination, 0.0, eta_s), reach_s, surge_cells.shape[0]
    )


def as_the_crow_flies(surge_cells: CellArray, reach_s: float, speed_mps: float = SPEED_MPS) -> Reach:
    """Spread drivers by great-circle metres over one speed, where no roads are known."""
    origin, destination = _pairs(surge_cells, np.ones(surge_cells.shape[0], bool))
    lat_deg, lng_deg = cells.cell_to_latlng(surge_cells)
    eta_s: FloatArray = (
        great_circle_m(lat_deg[origin], lng_deg[origin], lat_deg[destination], lng_deg[destination]) / speed_mps
    )
    return Reach.of_times(origin, destination, eta_s, reach_s, surge_cells.shape[0])


def _pairs(surge_cells: CellArray, is_served: BoolArray) -> tuple[IntArray, IntArray]:
    """Indices (origin (e,), destination (e,)) of cells within a few steps; itself always, others if served."""
    around, steps = cells.disks(surge_cells, STEPS_MAX)
    index = np.where(steps >= 0, cells.CellNumbers.of_distinct(surge_cells).find(around), -1)
    origin, place = np.nonzero(index >= 0)
    destination = index[origin, place]
    is_kept = is_served[destination] | (origin == destination)
    return origin[is_kept], destination[is_kept]
