"""The default policy with two inputs that a learning agent controls: search radius and zone values."""

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
    """The value of being idle in each zone, in seconds of pickup ETA; a `dispatch.matching.policy.MoveGain`."""

    def __init__(self, zone_of_node: IntArray, value_s: FloatArray) -> None:
        """`zone_of_node` (nodes,) are indices into `value_s` (z,)."""
        self._value_s_of_node = value_s[zone_of_node]

    def move_gain_s(
        self, node: npt.ArrayLike, next_node: npt.ArrayLike, duration_s: npt.ArrayLike, now_s: float
    ) -> FloatArray:
        """The value (e,) of the zone where the trip ends minus that of the driver's zone."""
        gain: FloatArray = self._value_s_of_node[np.asarray(next_node)] - self._value_s_of_node[np.asarray(node)]
        return gain


class SteeredPolicy(OptimalPolicy):
    """The optimal policy with a search radius and zone values that may change between rounds."""

    name = "steered"

    def __init__(self, graph: RoadGraph, zone_of_node: IntArray) -> None:
        super().__init__(graph)
        self._zone_of_node = zone_of_node
        self._reach_share = 1.0

    def steer(self, reach_share: float, value_s: FloatArray) -> None:
        """Set the inputs for the following rounds.

        Args:
            reach_share: search radius as a share of `pickup_eta_s_max`, 0 to 1; at 0 the round makes no offers.
            value_s: (z,) value of being idle in each zone. Only differences matter.
        """
        self._reach_share = reach_share
        self._position_value = ZoneValues(self._zone_of_node, value_s) if np.ptp(value_s) else None

    def decide(
        self, waiting: Sequence[Ride], supply: SupplySnapshot, params: DispatchParams, now_s: float
    ) -> RoundDecision:
        """See `PairPolicy.decide`; at `reach_share` 0 it matches nobody."""
        if self._reach_share <= 0.0:
            return RoundDecision(self.name)
        if self._reach_share < 1.0:
            params = replace(params, pickup_eta_s_max=self._reach_share * params.pickup_eta_s_max)
        return super().decide(waiting, supply, params, now_s)
