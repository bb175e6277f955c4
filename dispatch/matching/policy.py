"""What a matching policy is: open requests and free drivers in, pairs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dispatch.events import MatchFound
from dispatch.model import DispatchParams, Ride, SupplySnapshot


class MatchingPolicy(Protocol):
    """Chooses pairs; sends nothing, changes nothing."""

    def match(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> list[MatchFound]:
        """Pairs of the round.

        Each ride and each driver appears at most once; a driver who refused a ride is not paired with it again.
        `waiting` comes with the oldest request first.
        """
        ...
