"""The k nearest points by great-circle distance: a search ring by ring that stops at a proven bound.

The bound and its proof: docs/decisions/geo/020-exact-nearest-search-with-a-proven-bound.md.
"""

import numpy as np

from geo.arrays import BoolArray, FloatArray, IntArray, NodeArray
from geo.jit import kernel

# Between neighbouring cell centres at resolution 0, in the plane of an icosahedron face that touches the unit sphere.
# H3 calls it RES0_U_GNOMONIC: https://github.com/uber/h3/blob/v4.5.0/src/h3lib/lib/constants.h
SPACING_RESOLUTION_0 = 0.38196601125010500003
# Cosine of the angle between the centre and a corner of an icosahedron's face: sqrt((5 + 2 sqrt 5) / 15).
COS_FACE_RADIUS = 0.7946544722917661
# Subtracted from every bound: far above rounding errors of H3 and of this file, far below a noticeable distance.
ROUNDING_CHORD = 1e-12


@kernel
def chord_beyond_ring(ring: int, resolution: int, cos_to_face: float) -> float:
    """Return a lower bound of the chord from any point in ``cell`` to any point outside ``disk(cell, ring)``.

    ``cos_to_face`` is the cosine of the angle from the searching point to the nearest centre of a face.
    """
    spacing = SPACING_RESOLUTION_0 / 7.0 ** (0.5 * resolution)
    plane = spacing * (np.sqrt(0.75) * (ring + 1) - 2.0 / np.sqrt(3.0))
    if plane <= 0.0:
        return 0.0
    angle = min(np.arccos(min(1.0, cos_to_face)) + plane, np.pi)
    cos_worst = max(COS_FACE_RADIUS, np.cos(angle))
    arc = min(plane * cos_worst * cos_worst, np.pi)
    return max(0.0, float(2.0 * np.sin(0.5 * arc)) * (1.0 - 1e-9) - ROUNDING_CHORD)


@kernel
def _cos_to_nearest_face(face_xyz: FloatArray, x: float, y: float, z: float) -> float:
    best = -1.0
    for face in range(face_xyz.shape[0]):
        best = max(best, face_xyz[face, 0] * x + face_xyz[face, 1] * y + face_xyz[face, 2] * z)
    return best


@kernel
def _insert_sorted_inplace(index: IntArray, squared: FloatArray, found: int, point: int, at: float) -> int:
    """Keep the nearest len(index) points, sorted by (distance, point); return how many there are."""
    k = index.shape[0]
    if found == k:
        if at > squared[k - 1] or (at == squared[k - 1] and point > index[k - 1]):
            return found
        place = k - 1
    else:
        place = found
        found += 1
    while place > 0 and (squared[place - 1] > at or (squared[place - 1] == at and index[place - 1] > point)):
        squared[place], index[place] = squared[place - 1], index[place - 1]
        place -= 1
    squared[place], index[place] = at, point
    return found


@kernel
def _scan_cells_inplace(
    index: IntArray,
    squared: FloatArray,
    found: int,
    points: tuple[FloatArray, IntArray, IntArray],
    cell_number: IntArray,
    query: tuple[float, float, float],
) -> int:
    """Compare all points of the numbered cells; -1 is a cell without points."""
    xyz, point, offset = points
    x, y, z = query
    k = index.shape[0]
    worst = squared[k - 1] if found == k else np.inf
    for number in cell_number:
        if number < 0:
            continue
        for place in range(offset[number], offset[number + 1]):
            dx, dy, dz = xyz[place, 0] - x, xyz[place, 1] - y, xyz[place, 2] - z
            at = dx * dx + dy * dy + dz * dz
            if at <= worst:
                found = _insert_sorted_inplace(index, squared, found, point[place], at)
                if found == k:
                    worst = squared[k - 1]
    return found


@kernel
def search_rings(
    points: tuple[FloatArray, IntArray, IntArray],
    disk_number: IntArray,
    disk_step: NodeArray,
    query: tuple[FloatArray, IntArray],
    face_xyz: FloatArray,
    resolution: int,
    k: int,
) -> tuple[IntArray, FloatArray, BoolArray]:
    """Return (index (m, k), chord (m, k), is_certified (m,)).

    Args:
        points: (xyz (n, 3), point (n,), offset (c + 1,)): the points sorted by cell number, and their positions.
        disk_number: (u, d) the cell numbers of disks, nearest ring first; -1 for cells without a point.
        disk_step: (u, d) the ring of each, -1 behind the end of a row.
        query: (xyz (m, 3), row (m,)): the query points, and the row of the disk round each.
        face_xyz: (20, 3) centres of the faces of H3's icosahedron.
        resolution: of the cells.
        k: how many to find.
    """
    query_xyz, query_row = query
    queries, width = query_row.shape[0], disk_number.shape[1]
    index = np.full((queries, k), -1, np.int64)
    chord = np.full((queries, k), np.inf)
    is_certified = np.zeros(queries, np.bool_)
    for place in range(queries):
        x, y, z = query_xyz[place, 0], query_xyz[place, 1], query_xyz[place, 2]
        cos_to_face = _cos_to_nearest_face(face_xyz, x, y, z)
        row, found, at = query_row[place], 0, 0
        while at < width and disk_step[row, at] >= 0:
            ring, end = disk_step[row, at], at + 1
            while end < width and disk_step[row, end] == ring:
                end += 1
            found = _scan_cells_inplace(index[place], chord[place], found, points, disk_number[row, at:end], (x, y, z))
            at = end
            if found == k:
                bound = chord_beyond_ring(ring, resolution, cos_to_face)
                if chord[place, k - 1] < bound * bound:
                    is_certified[place] = True
                    break
    return index, np.sqrt(chord), is_certified


@kernel
def search_all(
    points: tuple[FloatArray, IntArray, IntArray], query_xyz: FloatArray, k: int
) -> tuple[IntArray, FloatArray]:
    """Return (index (m, k), chord (m, k)) by comparing every point, which needs no bound."""
    queries = query_xyz.shape[0]
    index = np.full((queries, k), -1, np.int64)
    chord = np.full((queries, k), np.inf)
    every_cell = np.arange(points[2].shape[0] - 1)
    for place in range(queries):
        xyz = (query_xyz[place, 0], query_xyz[place, 1], query_xyz[place, 2])
        _scan_cells_inplace(index[place], chord[place], 0, points, every_cell, xyz)
    return index, np.sqrt(chord)
