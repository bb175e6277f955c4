"""Waiting before another try: longer each time, and never all at once."""

from __future__ import annotations

import random

FIRST_S = 0.2
# A supervisor restarts an API within seconds; a client that waits longer than this would be the slower part.
LONGEST_S = 5.0


class Backoff:
    """Wall seconds to wait: doubling from a fifth of a second to five, each with a jitter of a half."""

    def __init__(self, jitter: random.Random) -> None:
        self._jitter = jitter
        self._tries = 0

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._tries = 0

    def next_s(self) -> float:
        """Return how long to wait now."""
        longest_s = min(LONGEST_S, FIRST_S * 2.0**self._tries)
        self._tries = min(self._tries + 1, 10)
        return longest_s * self._jitter.uniform(0.5, 1.0)
