"""The default policy with two levers for somebody who learns: how far to look, and what each zone is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dispatch.matching.optimal import OptimalPolicy
from dispatch.matching.policy import RoundDecision
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from geo.arrays import FloatArray, IntArray
from geo.roads.graph import RoadGraph


class ZoneValues:
    """What being free in a zone is worth, in seconds of pickup ETA; a `dispatch.matching.policy.MoveGain`."""

    def __init__(self, zone_of_node: IntArray, value_s: FloatArray) -> None:
        """`zone_of_node` (nodes,) numbers into `value_s` (z,)."""
        self._value_s_of_node = value_s[zone_of_node]

    def move_gain_s(
        self, node: npt.ArrayLike, next_node: npt.ArrayLike, duration_s: npt.ArrayLike, now_s: float
    ) -> FloatArray:
        """The value (e,) of the zone where the trip ends less that of the zone where the driver is."""
        gain: FloatArray = self._value_s_of_node[np.asarray(next_node)] - self._value_s_of_node[np.asarray(node)]
        return gain


class SteeredPolicy(OptimalPolicy):
    """The optimal policy under a reach and zone values that may change between rounds."""

    name = "steered"

    def __init__(self, graph: RoadGraph, zone_of_node: IntArray) -> None:
        super().__init__(graph)
        self._zone_of_node = zone_of_node
        self._reach_share = 1.0

    def steer(self, reach_share: float, value_s: FloatArray) -> None:
        """Set the levers for the rounds to come.

        Args:
            reach_share: of `pickup_eta_s_max`, 0 to 1; farther drivers are not asked, and at 0 nobody is.
            value_s: (z,) what being free in each zone is worth. All equal is as good as none.
        """
        self._reach_share = reach_share
        self._position_value = ZoneValues(self._zone_of_node, value_s) if np.ptp(value_s) else None

    def decide(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> RoundDecision:
        """See `PairPolicy.decide`; a round that is held matches nobody."""
        if self._reach_share <= 0.0:
            return RoundDecision(self.name)
        if self._reach_share < 1.0:
            params = replace(params, pickup_eta_s_max=self._reach_share * params.pickup_eta_s_max)
        return super().decide(waiting, supply, params, now_s)
