"""The event queue of a simulation: a heap of callbacks ordered by time, then by insertion."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush


class Agenda:
    """A priority queue of callbacks, earliest first.

    A sequence number breaks ties, so that equal inputs give equal runs.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[int, float], None], int]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when_s: float, do: Callable[[int, float], None], subject: int) -> None:
        """Schedule the call `do(subject, when_s)`."""
        self._sequence += 1
        heappush(self._heap, (when_s, self._sequence, do, subject))

    def run(self, until_s: float = math.inf) -> None:
        """Make all calls up to and including `until_s`, also those that they schedule."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            when_s, _, do, subject = heappop(heap)
            do(subject, when_s)
