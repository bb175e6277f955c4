"""Strongly connected parts of a directed graph. Source: Tarjan 1972, doi:10.1137/0201010, without recursion."""

import numpy as np

from geo.arrays import IntArray, NodeArray
from geo.jit import kernel


@kernel
def _close_part_inplace(part: IntArray, pending: IntArray, pending_size: int, root: int, number: int) -> int:
    """Number the pending nodes down to ``root`` as one part; return how many are still pending."""
    while part[root] < 0:
        pending_size -= 1
        part[pending[pending_size]] = number
    return pending_size


@kernel
def strong_parts(offset: IntArray, neighbour: NodeArray) -> IntArray:
    """Return the number of the part (n,) that each node belongs to; parts are numbered as they are completed."""
    nodes = offset.shape[0] - 1
    part = np.full(nodes, -1, np.int64)
    visited_at = np.full(nodes, -1, np.int64)
    lowest = np.zeros(nodes, np.int64)
    next_edge = offset[:-1].copy()
    walk, walk_size = np.empty(nodes, np.int64), 0
    pending, pending_size = np.empty(nodes, np.int64), 0
    clock, parts = 0, 0
    for root in range(nodes):
        if visited_at[root] >= 0:
            continue
        walk[0], walk_size = root, 1
        while walk_size > 0:
            node = walk[walk_size - 1]
            if visited_at[node] < 0:
                visited_at[node], lowest[node] = clock, clock
                clock += 1
                pending[pending_size] = node
                pending_size += 1
            if next_edge[node] < offset[node + 1]:
                other = neighbour[next_edge[node]]
                next_edge[node] += 1
                if visited_at[other] < 0:
                    walk[walk_size] = other
                    walk_size += 1
                elif part[other] < 0:
                    lowest[node] = min(lowest[node], visited_at[other])
                continue
            walk_size -= 1
            if walk_size > 0:
                lowest[walk[walk_size - 1]] = min(lowest[walk[walk_size - 1]], lowest[node])
            if lowest[node] == visited_at[node]:
                pending_size = _close_part_inplace(part, pending, pending_size, node, parts)
                parts += 1
    return part
