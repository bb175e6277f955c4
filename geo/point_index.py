"""Nearest-point search among points that do not move, such as the nodes of a road graph."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, IntArray
from geo.distances import chord_to_m, unit_vectors
from geo.kernels.point_tree import build_tree, nearest_points


@dataclass(frozen=True)
class PointIndex:
    """A k-d tree over points, exact anywhere on the globe.

    Attributes:
        xyz: (n, 3) the points as unit vectors, in the order of the tree.
        order: (n,) the number of the point at each position of the tree.
        axis: (n,) the split axis at each position.
    """

    xyz: FloatArray
    order: IntArray
    axis: IntArray

    @classmethod
    def of(cls, lat_deg: FloatArray, lng_deg: FloatArray) -> "PointIndex":
        """Build the tree in O(n log n)."""
        xyz = unit_vectors(lat_deg, lng_deg)
        order, axis = build_tree(xyz)
        return cls(np.ascontiguousarray(xyz[order]), order, axis)

    def nearest(self, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
        """Return (index (m,), distance_m (m,)); of equally near points the smallest index."""
        index, chord = nearest_points(self.xyz, self.order, self.axis, unit_vectors(lat_deg, lng_deg))
        return index, chord_to_m(chord)
