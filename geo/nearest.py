"""The k nearest points (drivers) by great-circle distance: exact, with a certificate for every answer.

Points are sorted into H3 cells. The search reads rings of cells round the query until no unread point can be nearer
than the k-th best. The bound is proven:
docs/decisions/geo/020-exact-nearest-search-with-a-proven-bound.md.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from geo.arrays import BoolArray, CellArray, FloatArray, IntArray, coordinates, positive_count
from geo.cells import CellNumbers, cell_to_latlng, disks_of_valid, latlng_to_cells, pentagons
from geo.distances import chord_to_m, unit_vectors
from geo.kernels.ring_search import search_all, search_rings

# Cells of disks held at once, for all queries together: 20 bytes each, so 10 MB.
DISK_CELLS_AT_ONCE = 500_000
# A disk with more cells than this many times the occupied ones costs more than comparing every point.
DISK_CELLS_PER_OCCUPIED = 2.0
# The first guess assumes at least so many points per cell; else a single point would lead to comparing every point.
POINTS_PER_CELL_MIN = 0.2
# Rings of the widest disk: 7,651 cells a query. Beyond, the resolution is too fine for these points.
RINGS_MAX = 50


@dataclass(frozen=True)
class Found:
    """The results of a search.

    Attributes:
        index: (m, k) positions of the points, nearest first, -1 where there are fewer than k.
        distance_m: (m, k) great-circle metres, inf where there are fewer.
        is_certified: (m,) whether no other point can be nearer; false only where `rings_max` ended the search.
    """

    index: IntArray
    distance_m: FloatArray
    is_certified: BoolArray


@dataclass(frozen=True)
class PointsByCell:
    """Points sorted into H3 cells, ready to be searched for the nearest to any number of query points.

    Attributes:
        resolution: of the cells.
        cells: the occupied cells, numbered.
        offset: (c + 1,) where the points of each cell begin.
        point: (n,) the points in the order of their cells, ascending in each.
        xyz: (n, 3) their unit vectors, in that order.
    """

    resolution: int
    cells: CellNumbers
    offset: IntArray
    point: IntArray
    xyz: FloatArray

    @classmethod
    def of(cls, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike, resolution: int) -> "PointsByCell":
        """Sort points (n,) into cells; n may be 0. Raises ValueError for a coordinate or resolution out of range."""
        cell_of_point = latlng_to_cells(lat_deg, lng_deg, resolution)
        point = np.argsort(cell_of_point, kind="stable")
        in_order = cell_of_point[point]
        is_first = np.ones(point.shape[0], np.bool_)
        is_first[1:] = in_order[1:] != in_order[:-1]
        first = np.flatnonzero(is_first)
        offset = np.append(first, point.shape[0])
        xyz = unit_vectors(lat_deg, lng_deg)[point]
        return cls(resolution, CellNumbers.of_distinct(in_order[first]), offset, point, xyz)

    def nearest(self, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike, k: int, rings_max: int = RINGS_MAX) -> Found:
        """Find the k points nearest to each query (m,), of equally near ones the smaller position first.

        A search that reads ``rings_max`` rings without a certificate returns the best of them, marked as not certified.
        With the default it compares every point instead, so that the result is always certified.
        Raises ValueError for coordinates that do not exist, k below 1 or ``rings_max`` outside 0 to RINGS_MAX.
        """
        lat, lng = coordinates(lat_deg, lng_deg)
        positive_count("k", k)
        if not 0 <= rings_max <= RINGS_MAX:
            raise ValueError(f"rings_max must be 0 to {RINGS_MAX}, not {rings_max}")
        cell, xyz = latlng_to_cells(lat, lng, self.resolution), unit_vectors(lat, lng)
        index = np.full((lat.shape[0], k), -1, np.int64)
        chord = np.full((lat.shape[0], k), np.inf)
        is_certified = np.zeros(lat.shape[0], np.bool_)
        wanted = min(k, max(self.point.shape[0], 1))
        by_cell = np.argsort(cell, kind="stable")
        found = self._nearest_sorted(cell[by_cell], xyz[by_cell], wanted, rings_max)
        index[by_cell, :wanted], chord[by_cell, :wanted], is_certified[by_cell] = found
        return Found(index, chord_to_m(chord), is_certified)

    def _nearest_sorted(
        self, cell: CellArray, xyz: FloatArray, k: int, rings_max: int
    ) -> tuple[IntArray, FloatArray, BoolArray]:
        """Search with few rings first, then with more for the queries without a certificate."""
        index = np.full((cell.shape[0], k), -1, np.int64)
        chord = np.full((cell.shape[0], k), np.inf)
        is_certified = np.zeros(cell.shape[0], np.bool_)
        open_queries, rings = np.arange(cell.shape[0]), self._first_rings(k)
        while open_queries.size and rings <= rings_max and self._is_disk_worth_it(rings):
            found = self._search(cell[open_queries], xyz[open_queries], k, rings)
            index[open_queries], chord[open_queries], is_certified[open_queries] = found
            open_queries = open_queries[~found[2]]
            rings += max(1, rings // 2)
        if open_queries.size and rings_max == RINGS_MAX:
            found_all = search_all((self.xyz, self.point, self.offset), xyz[open_queries], k)
            index[open_queries], chord[open_queries], is_certified[open_queries] = *found_all, True
        elif open_queries.size:
            found = self._search(cell[open_queries], xyz[open_queries], k, rings_max)
            index[open_queries], chord[open_queries], is_certified[open_queries] = found
        return index, chord, is_certified

    def _search(self, cell: CellArray, xyz: FloatArray, k: int, rings: int) -> tuple[IntArray, FloatArray, BoolArray]:
        """Search the disks of so many rings; ``cell`` is sorted, so that neighbours share disks."""
        points = (self.xyz, self.point, self.offset)
        queries_at_once = max(1, DISK_CELLS_AT_ONCE // (3 * rings * (rings + 1) + 1))
        found = []
        for begin in range(0, cell.shape[0], queries_at_once):
            part = slice(begin, begin + queries_at_once)
            distinct, row = np.unique(cell[part], return_inverse=True)
            disk_cell, disk_step = disks_of_valid(distinct, rings)
            number = self.cells.find(disk_cell)
            found.append(search_rings(points, number, disk_step, (xyz[part], row), face_centres(), self.resolution, k))
        index, chord, is_certified = zip(*found, strict=True)
        return np.concatenate(index), np.concatenate(chord), np.concatenate(is_certified)

    def _first_rings(self, k: int) -> int:
        """Estimate how many rings certify k neighbours if the points were spread at random."""
        points_per_occupied = max(self.point.shape[0], 1) / max(self.cells.cell.shape[0], 1)
        # Thrown at random, p points a cell leave a share of e^-p empty: solve p = points_per_occupied (1 - e^-p).
        points_per_cell = points_per_occupied
        for _ in range(20):
            points_per_cell = max(POINTS_PER_CELL_MIN, points_per_occupied * (1.0 - np.exp(-points_per_cell)))
        # k points fill a circle of this radius, in spacings of the lattice (a cell is sqrt(3)/2 spacings squared);
        # the bound grows by sqrt(3)/2 of a spacing a ring from -2/sqrt(3), less what the projection takes: 0.8.
        radius = np.sqrt(k / points_per_cell * np.sqrt(0.75) / np.pi)
        return max(1, int(np.ceil((radius / 0.8 + 2.0 / np.sqrt(3.0)) / np.sqrt(0.75) - 1.0)))

    def _is_disk_worth_it(self, rings: int) -> bool:
        cells_in_disk = 3 * rings * (rings + 1) + 1
        return bool(cells_in_disk <= max(7.0, DISK_CELLS_PER_OCCUPIED * self.cells.cell.shape[0]))


@cache
def face_centres() -> FloatArray:
    """Return the unit vectors (20, 3) of the centres of the faces of H3's icosahedron.

    Its corners are the centres of the twelve pentagons; three corners that are neighbours make a face.
    """
    corner = unit_vectors(*cell_to_latlng(pentagons(0)))
    # Neighbouring corners are arctan 2 = 63.4 degrees apart, all others 116.6 or 180.
    is_neighbour = corner @ corner.T > 0.4
    faces = [
        corner[list(three)].sum(axis=0)
        for three in combinations(range(12), 3)
        if all(is_neighbour[a, b] for a, b in combinations(three, 2))
    ]
    centre = np.array(faces)
    return np.ascontiguousarray(centre / np.linalg.norm(centre, axis=1, keepdims=True))
