"""How places on edges are joined to the crossings at the ends of these edges."""

import numpy as np

from geo.arrays import FloatArray, IntArray, NodeArray
from geo.jit import kernel


@kernel
def links_of_places(
    places: tuple[IntArray, IntArray, FloatArray],
    ends: tuple[NodeArray, NodeArray],
    whole: tuple[FloatArray, FloatArray],
    at_crossing_m: float,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return (node (n, 2), time_s (n, 2), length_m (n, 2)) of the links of places over parts of their edges.

    ``places`` is (node (n,), edge (n, 2), from_near (n, 2)), ``ends`` the near and the far node of every edge, and
    ``whole`` its seconds and metres. A link is over the part of an edge left from the share ``from_near`` to its
    far end; a place within ``at_crossing_m`` of the near end is there, over nothing. inf where there is no link; of two
    links to one node the quicker one is left.
    """
    place_node, place_edge, from_near = places
    near, far = ends
    count = place_node.shape[0]
    node = np.empty((count, 2), np.int64)
    time_s, length_m = np.full((count, 2), np.inf), np.full((count, 2), np.inf)
    for row in range(count):
        node[row, 0] = node[row, 1] = place_node[row]
        if place_edge[row, 0] < 0:
            time_s[row, 0], length_m[row, 0] = 0.0, 0.0
            continue
        for way in range(2):
            edge = place_edge[row, way]
            if edge < 0:
                continue
            begun = from_near[row, way]
            if begun * whole[1][edge] <= at_crossing_m:
                node[row, way], time_s[row, way], length_m[row, way] = near[edge], 0.0, 0.0
            else:
                part = 1.0 - begun
                node[row, way] = far[edge]
                # Not nothing of a closed edge, which would be nothing of infinity.
                time_s[row, way] = part * whole[0][edge] if part > 0.0 else 0.0
                length_m[row, way] = part * whole[1][edge]
        if place_edge[row, 1] >= 0 and node[row, 0] == node[row, 1]:
            later = 0 if time_s[row, 0] > time_s[row, 1] else 1
            time_s[row, later], length_m[row, later] = np.inf, np.inf
    return node, time_s, length_m
