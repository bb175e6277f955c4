"""A k-d tree over unit vectors, stored as an order of the points without node objects.

The range [low, high) of the order has its splitting point at (low + high) // 2; points before it are not greater
on the split axis, points behind it are not smaller. A range whose middle has no axis is a leaf; leaves are marked in
the tree because a search in another file may have been compiled and cached with another leaf size.
Source: Bentley 1975, doi:10.1145/361002.361007.
"""

import numpy as np

from geo.arrays import FloatArray, IntArray
from geo.jit import kernel

# Below this many points a scan is cheaper than another split; 4 to 32 differ by less than a seventh (measured).
LEAF_POINTS = 16
# Depth of the work stack: a balanced tree of 2**60 points is deeper than any memory.
STACK_DEPTH = 64


@kernel
def _widest_axis(xyz: FloatArray, order: IntArray, low: int, high: int) -> int:
    best_axis, best_width = 0, -1.0
    for axis in range(3):
        least, most = np.inf, -np.inf
        for place in range(low, high):
            value = xyz[order[place], axis]
            least, most = min(least, value), max(most, value)
        if most - least > best_width:
            best_axis, best_width = axis, most - least
    return best_axis


@kernel
def _select_middle_inplace(values: FloatArray, order: IntArray, low: int, high: int, middle: int) -> None:
    """Hoare's quickselect on order[low:high] by values[order]: the middle element goes to its sorted place."""
    left, right = low, high - 1
    while left < right:
        pivot = values[order[(left + right) // 2]]
        i, j = left, right
        while i <= j:
            while values[order[i]] < pivot:
                i += 1
            while values[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i, j = i + 1, j - 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@kernel
def build_tree(xyz: FloatArray) -> tuple[IntArray, IntArray]:
    """Return (order (n,), axis (n,)): the tree order of the points and the split axis at each middle, -1 in leaves."""
    count = xyz.shape[0]
    order = np.arange(count)
    axis = np.full(count, -1, np.int64)
    columns = np.ascontiguousarray(xyz.T)
    stack = np.empty((STACK_DEPTH, 2), np.int64)
    stack[0, 0], stack[0, 1] = 0, count
    depth = 1
    while depth > 0:
        depth -= 1
        low, high = stack[depth, 0], stack[depth, 1]
        if high - low <= LEAF_POINTS:
            continue
        middle = (low + high) // 2
        split = _widest_axis(xyz, order, low, high)
        _select_middle_inplace(columns[split], order, low, high, middle)
        axis[middle] = split
        stack[depth, 0], stack[depth, 1] = low, middle
        stack[depth + 1, 0], stack[depth + 1, 1] = middle + 1, high
        depth += 2
    return order, axis


@kernel
def _nearest_one(
    tree_xyz: FloatArray, order: IntArray, axis: IntArray, x: float, y: float, z: float
) -> tuple[int, float]:
    best, best_squared = -1, np.inf
    low_stack = np.empty(STACK_DEPTH, np.int64)
    high_stack = np.empty(STACK_DEPTH, np.int64)
    gap_stack = np.empty(STACK_DEPTH)
    low_stack[0], high_stack[0], gap_stack[0] = 0, order.shape[0], 0.0
    depth = 1
    while depth > 0:
        depth -= 1
        if gap_stack[depth] > best_squared:
            continue
        low, high = low_stack[depth], high_stack[depth]
        if low == high:
            continue
        middle = (low + high) // 2
        is_leaf = axis[middle] < 0
        first, last = (low, high) if is_leaf else (middle, middle + 1)
        for place in range(first, last):
            dx, dy, dz = tree_xyz[place, 0] - x, tree_xyz[place, 1] - y, tree_xyz[place, 2] - z
            squared = dx * dx + dy * dy + dz * dz
            if squared < best_squared or (squared == best_squared and order[place] < best):
                best, best_squared = order[place], squared
        if is_leaf:
            continue
        split = axis[middle]
        offset = (x if split == 0 else (y if split == 1 else z)) - tree_xyz[middle, split]
        near_low, near_high = (low, middle) if offset < 0.0 else (middle + 1, high)
        far_low, far_high = (middle + 1, high) if offset < 0.0 else (low, middle)
        low_stack[depth], high_stack[depth], gap_stack[depth] = far_low, far_high, offset * offset
        low_stack[depth + 1], high_stack[depth + 1], gap_stack[depth + 1] = near_low, near_high, 0.0
        depth += 2
    return best, best_squared


@kernel
def nearest_points(
    tree_xyz: FloatArray, order: IntArray, axis: IntArray, query_xyz: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return (index (m,), chord (m,)) of the point nearest to each query; of equally near points the smallest index."""
    count = query_xyz.shape[0]
    index = np.empty(count, np.int64)
    chord = np.empty(count)
    for query in range(count):
        found, squared = _nearest_one(
            tree_xyz, order, axis, query_xyz[query, 0], query_xyz[query, 1], query_xyz[query, 2]
        )
        index[query], chord[query] = found, np.sqrt(squared)
    return index, chord
