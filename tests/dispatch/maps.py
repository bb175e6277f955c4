"""One street grid as two maps: the same crossings, numbered otherwise."""

from __future__ import annotations

import numpy as np

from geo.roads.graph import RoadGraph
from tests.dispatch.people import grid_city

#: Crossings are numbered row by row; a street between two takes 10 s.
BEFORE = grid_city(rows=3, columns=6)


def without_first(graph: RoadGraph, nodes: int) -> RoadGraph:
    """The map after a rebuild that lost its first crossings: each of the others has a lower number."""
    kept = (graph.source >= nodes) & (graph.target >= nodes)
    return RoadGraph.from_arrays(
        graph.lat_deg[nodes:],
        graph.lng_deg[nodes:],
        graph.source[kept] - nodes,
        graph.target[kept] - nodes,
        graph.length_m[kept],
        graph.travel_time_s[kept],
    )


def backwards(graph: RoadGraph) -> RoadGraph:
    """The same map with its crossings numbered from the other end."""
    last = graph.node_count - 1
    return RoadGraph.from_arrays(
        graph.lat_deg[::-1],
        graph.lng_deg[::-1],
        np.int64(last) - graph.source,
        np.int64(last) - graph.target,
        graph.length_m,
        graph.travel_time_s,
    )
