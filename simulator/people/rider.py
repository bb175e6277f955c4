"""A rider: asks for a quote, decides, waits, cancels. The caller passes the time and carries out the actions."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from simulator.model import RiderParams
from simulator.people.actions import AskQuote, CancelRide, LeaveForPrice, RequestRide, RiderAction


class RiderState(StrEnum):
    """States of a rider; GONE is final."""

    ASKING = "ASKING"
    DECIDING = "DECIDING"
    REQUESTING = "REQUESTING"
    WAITING = "WAITING"
    ASSIGNED = "ASSIGNED"
    AT_PICKUP = "AT_PICKUP"
    ON_TRIP = "ON_TRIP"
    GONE = "GONE"


class Rider:
    """One rider who wants one ride.

    Call `quoted`, `requested`, `assigned`, … when these happen, and `wake` at `wake_s`, which returns actions.
    Messages that do not fit the state are ignored: the service may repeat them.
    """

    def __init__(self, params: RiderParams, generator: np.random.Generator) -> None:
        self._params = params
        self._generator = generator
        self._takes_quote = False
        self._gives_up_s = math.inf
        self.state = RiderState.ASKING
        self.ride_id = ""
        #: When `wake` is due, city seconds; infinity if nothing is planned.
        self.wake_s = math.inf

    def start(self) -> list[RiderAction]:
        """Ask for a quote, first or anew because the last has expired."""
        self.state, self.wake_s = RiderState.ASKING, math.inf
        return [AskQuote()]

    def quoted(self, surge_multiplier: float, now_s: float) -> None:
        """Receive a quote; the decision is due at `wake_s`."""
        if self.state is not RiderState.ASKING:
            return
        share = self._params.acceptance_share * surge_multiplier**-self._params.price_elasticity
        self._takes_quote = self._generator.random() < share
        # Capped at three means, well within a quote's lifetime.
        thinking = min(self._generator.exponential(self._params.decision_s_mean), 3.0 * self._params.decision_s_mean)
        self.state, self.wake_s = RiderState.DECIDING, now_s + thinking

    def requested(self, ride_id: str, now_s: float) -> None:
        """Begin to wait; patience is drawn now."""
        if self.state is not RiderState.REQUESTING:
            return
        drawn = self._generator.lognormal(math.log(self._params.patience_s_median), self._params.patience_spread)
        self._gives_up_s = now_s + max(drawn, self._params.patience_s_min)
        self.ride_id = ride_id
        self.state, self.wake_s = RiderState.WAITING, self._gives_up_s

    def assigned(self, pickup_eta_s: float, now_s: float) -> None:
        """Wait for the driver; some riders cancel on the way, and all cancel a driver who is far overdue."""
        if self.state is not RiderState.WAITING:
            return
        self.state = RiderState.ASSIGNED
        if self._generator.random() < self._params.change_of_mind_share:
            self.wake_s = now_s + self._generator.random() * pickup_eta_s
        else:
            self.wake_s = now_s + pickup_eta_s + self._params.overdue_s_max

    def unassigned(self, now_s: float) -> None:
        """The driver cancelled: keep waiting, at least for the shortest patience."""
        if self.state in (RiderState.ASSIGNED, RiderState.AT_PICKUP):
            self.state = RiderState.WAITING
            self.wake_s = max(self._gives_up_s, now_s + self._params.patience_s_min)

    def driver_arrived(self) -> None:
        """The driver is at the pickup."""
        if self.state in (RiderState.WAITING, RiderState.ASSIGNED):
            self.state, self.wake_s = RiderState.AT_PICKUP, math.inf

    def picked_up(self) -> None:
        """On the way."""
        if self.state in (RiderState.WAITING, RiderState.ASSIGNED, RiderState.AT_PICKUP):
            self.state, self.wake_s = RiderState.ON_TRIP, math.inf

    def gone(self) -> None:
        """The ride has ended, or there will be none."""
        self.state, self.wake_s = RiderState.GONE, math.inf

    def wake(self, now_s: float) -> list[RiderAction]:
        """Do what is due by now; nothing if it is too early."""
        if now_s < self.wake_s:
            return []
        self.wake_s = math.inf
        if self.state is RiderState.DECIDING:
            return self._decide()
        if self.state is RiderState.WAITING:
            return [CancelRide(self.ride_id, "no driver in time")]
        return [CancelRide(self.ride_id, "changed my mind")]

    def _decide(self) -> list[RiderAction]:
        if not self._takes_quote:
            self.gone()
            return [LeaveForPrice()]
        self.state = RiderState.REQUESTING
        return [RequestRide()]
