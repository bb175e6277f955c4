"""The zones of a city: the surge cells that have streets, with the driving times between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from geo.arrays import FloatArray, IntArray
from geo.cells import cell_to_latlng, latlng_to_cells
from geo.city import City
from geo.distances import lng_change_deg
from geo.roads import travel_times


@dataclass(frozen=True, eq=False)
class Zones:
    """The zones of a city by dense number, in the order of their cells.

    Attributes:
        surge_index: (z,) the place of each among the city's surge cells.
        of_node: (n,) the zone of each node of the road graph.
        middle: (z,) the node of each that is nearest to its middle.
        eta_s: (z, z) free-flow seconds from middle to middle; inf where there is no way.
        offset, node: the nodes of zone z are ``node[offset[z]:offset[z + 1]]``.
    """

    surge_index: IntArray
    of_node: IntArray
    middle: IntArray
    eta_s: FloatArray
    offset: IntArray
    node: IntArray

    @classmethod
    def of(cls, city: City) -> Zones:
        """Take one search of the road graph for each zone."""
        graph = city.graph
        cell = latlng_to_cells(graph.lat_deg, graph.lng_deg, city.region.surge_resolution)
        present, of_node = np.unique(cell, return_inverse=True)
        order = np.argsort(of_node, kind="stable")
        offset = np.concatenate([[0], np.cumsum(np.bincount(of_node))])
        lat, lng = cell_to_latlng(present)
        away = (graph.lat_deg - lat[of_node]) ** 2 + lng_change_deg(lng[of_node], graph.lng_deg) ** 2
        middle = order[[begin + away[order[begin:end]].argmin() for begin, end in pairwise(offset)]]
        origin, destination = np.divmod(np.arange(present.size**2), present.size)
        eta_s = travel_times.between(graph, middle[origin], middle[destination]).reshape(present.size, -1)
        surge_index = np.searchsorted(city.surge_cells, present)
        return cls(surge_index, of_node, middle, eta_s, offset, order)

    def __len__(self) -> int:
        return int(self.middle.shape[0])

    def draw_node(self, zone: int, generator: np.random.Generator) -> int:
        """Draw a corner of a zone, each equally likely."""
        begin, end = int(self.offset[zone]), int(self.offset[zone + 1])
        return int(self.node[begin + int(generator.integers(end - begin))])
