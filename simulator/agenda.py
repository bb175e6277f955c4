"""The event queue of a simulation: heaps of callbacks ordered by time, then by insertion."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush

_Entry = tuple[float, float, int, Callable[[int, float], None], int]


class Agenda:
    """A priority queue of callbacks, earliest first; of one time the one first that was scheduled first.

    Periodic callbacks (`repeat`) are kept apart from events (`at`), so that a simulation can see how long
    nothing will happen, and skip it.
    """

    def __init__(self) -> None:
        self._events: list[_Entry] = []
        self._recurring: list[_Entry] = []
        self._sequence = 0
        self._now_s = -math.inf

    def __len__(self) -> int:
        return len(self._events) + len(self._recurring)

    @property
    def next_event_s(self) -> float:
        """When the next event happens, recurring calls aside; infinite if none is scheduled."""
        return self._events[0][0] if self._events else math.inf

    def at(self, when_s: float, do: Callable[[int, float], None], subject: int) -> None:
        """Schedule the call `do(subject, when_s)`."""
        self._push(self._events, when_s, self._now_s, do, subject)

    def repeat(self, when_s: float, do: Callable[[int, float], None], subject: int, after_s: float) -> None:
        """Schedule the next of the calls that recur; among calls of one time it counts as scheduled at ``after_s``.

        That is when the call before it would have been, had none been skipped: the order is then the same.
        """
        self._push(self._recurring, when_s, max(after_s, self._now_s), do, subject)

    def run(self, until_s: float = math.inf) -> None:
        """Make all calls up to and including `until_s`, also those that they schedule."""
        events, recurring = self._events, self._recurring
        while events or recurring:
            heap = events if not recurring or (events and events[0] < recurring[0]) else recurring
            if heap[0][0] > until_s:
                return
            when_s, _, _, do, subject = heappop(heap)
            self._now_s = when_s
            do(subject, when_s)

    def _push(
        self, heap: list[_Entry], when_s: float, scheduled_s: float, do: Callable[[int, float], None], subject: int
    ) -> None:
        self._sequence += 1
        heappush(heap, (when_s, scheduled_s, self._sequence, do, subject))
