"""What will happen next: a heap of moments, those of one time in the order in which they were noted."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush


class Agenda:
    """Calls to come, earliest first.

    The sequence number breaks ties, so that a run depends on nothing but its inputs.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[int, float], None], int]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when_s: float, do: Callable[[int, float], None], subject: int) -> None:
        """Note that `do(subject, when_s)` is to be called."""
        self._sequence += 1
        heappush(self._heap, (when_s, self._sequence, do, subject))

    def run(self, until_s: float = math.inf) -> None:
        """Make the calls up to a time, and those that they note, until none is left."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            when_s, _, do, subject = heappop(heap)
            do(subject, when_s)
