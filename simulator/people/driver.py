"""A simulated driver: answers offers, drives, picks up, drops off, cruises, takes breaks, loses the connection.

The caller passes the time and carries out the returned actions.
"""

from __future__ import annotations

import math

import numpy as np

from kernel.points import Point
from kernel.supply import DriverState
from simulator.model import DriverParams, Errand, Offer, Position, RideStage
from simulator.people.actions import (
    AcceptOffer,
    CancelRide,
    DeclineOffer,
    DriverAction,
    GoOffline,
    GoOnline,
    ReportArrived,
    ReportDroppedOff,
    ReportPickedUp,
    StaySilent,
)
from simulator.people.habits import DEFAULT_HABIT, Habit
from simulator.streets.motion import Movement
from simulator.streets.network import Streets

# A driver who got no expiry message drops an offer this long after its expiry.
SILENCE_GRACE_S = 5.0


class Driver:
    """One driver with a car.

    Call `offered`, `assigned`, `offer_gone` and `released` when these happen, and `wake` at `wake_s`; they return
    actions. Messages that do not fit the state are ignored: the service may repeat them.
    """

    def __init__(
        self,
        params: DriverParams,
        streets: Streets,
        generator: np.random.Generator,
        stop: int,
        now_s: float,
        habit: Habit = DEFAULT_HABIT,
    ) -> None:
        self._params = params
        self._habit = habit
        self._streets = streets
        self._generator = generator
        self._motion: Movement = streets.stand(stop, now_s)
        self._offer: Offer | None = None
        self._will_accept: bool | None = None
        self._answer_s = math.inf
        self._will_cancel = False
        #: End of the current loss of connection.
        self.dark_until_s = -math.inf
        #: The current ride, and the next one if it was accepted while a rider is aboard.
        self.errand: Errand | None = None
        self.next_errand: Errand | None = None
        self.state = DriverState.OFFLINE
        #: When the next step is due, apart from the answer to an offer.
        self._step_s = now_s

    @property
    def wake_s(self) -> float:
        """When `wake` is due, city seconds; infinity if nothing is scheduled."""
        return min(self._step_s, self._answer_s)

    @property
    def errands(self) -> tuple[Errand, ...]:
        """The driver's rides, the current one first."""
        return tuple(errand for errand in (self.errand, self.next_errand) if errand is not None)

    @property
    def is_online(self) -> bool:
        """Whether the driver is on shift."""
        return self.state is not DriverState.OFFLINE

    def is_connected(self, now_s: float) -> bool:
        """Whether the phone sends pings: the driver is on shift and has a connection."""
        return self.is_online and now_s >= self.dark_until_s

    @property
    def motion(self) -> Movement:
        """The current or last movement."""
        return self._motion

    def position(self, now_s: float) -> Position:
        """Return the driver's position."""
        return self._motion.at(now_s)

    def offered(self, offer: Offer, now_s: float) -> list[DriverAction]:
        """Receive an offer; the answer is due at `wake_s`. A driver without connection misses the offer.

        With a rider aboard, the driver drives on while deciding.
        """
        is_open = self.state is DriverState.IDLE or (self.state is DriverState.ON_TRIP and self.next_errand is None)
        if not is_open or self._offer is not None or now_s >= offer.expires_s:
            return []
        if not self.is_connected(now_s):
            return [StaySilent(offer.offer_id)]
        self._offer = offer
        self._will_accept = self._draw_answer(offer, now_s)
        self._answer_s = now_s + self._generator.exponential(self._params.thinking_s_mean)
        if self.state is DriverState.IDLE:
            self.state, self._step_s = DriverState.OFFERED, math.inf
        return []

    def advised(self, place: Point, now_s: float) -> bool:
        """Receive repositioning advice; returns whether the driver is idle and follows it."""
        is_free = self.state is DriverState.IDLE and self.is_connected(now_s)
        if not is_free or self._generator.random() >= self._params.compliance_share:
            return False
        stop = self._streets.stop_at(place)
        self._motion = self._streets.drive(self._motion, stop, now_s, self._params.pace)
        self._step_s = self._motion.arrival_s + self._generator.exponential(self._params.stay_s_mean)
        return True

    def offer_gone(self, offer_id: str, now_s: float) -> None:
        """Drop an offer that another driver took, that expired or that was withdrawn."""
        if self._offer is not None and self._offer.offer_id == offer_id:
            self._forget_offer()
            if self.state is DriverState.OFFERED:
                self._become_idle(now_s)

    def assigned(self, errand: Errand, now_s: float) -> None:
        """Take on a ride at its current stage; with a rider aboard, it starts after the dropoff.

        Ignored if the driver already has such a ride.
        """
        if self.errand is None:
            self._forget_offer()
            self._begin(errand, now_s)
        elif self.state is DriverState.ON_TRIP and self.next_errand is None and self.errand.ride_id != errand.ride_id:
            self._forget_offer()
            self.next_errand = errand

    def _begin(self, errand: Errand, now_s: float) -> None:
        self.errand = errand
        if errand.stage is RideStage.ASSIGNED:
            self._approach(errand, now_s)
        elif errand.stage is RideStage.ARRIVED:
            self.state, self._step_s = DriverState.AT_PICKUP, now_s + self._params.boarding_s
        else:
            self._carry(errand, now_s)

    def released(self, ride_id: str, now_s: float) -> None:
        """Drop a ride that was cancelled or reassigned."""
        if self.next_errand is not None and self.next_errand.ride_id == ride_id:
            self.next_errand = None
        elif self.errand is not None and self.errand.ride_id == ride_id:
            self._turn_to_next(now_s)

    def wake(self, now_s: float) -> list[DriverAction]:
        """Do what is due by now; nothing if it is too early."""
        if now_s < self.wake_s:
            return []
        if self._offer is not None and self._answer_s <= self._step_s:
            return self._answer(self._offer, now_s)
        if self.errand is not None:
            return self._go_on(self.errand, now_s)
        if self.state is DriverState.OFFLINE:
            return self._begin_work(now_s)
        return self._idle_on(now_s)

    def _begin_work(self, now_s: float) -> list[DriverAction]:
        if not self._habit.works(self._node(now_s), now_s):
            self._step_s = now_s + self._generator.exponential(self._habit.look_s_mean)
            return []
        self._become_idle(now_s)
        return [GoOnline()]

    def _draw_answer(self, offer: Offer, now_s: float) -> bool | None:
        """Return True to accept, False to decline, None to stay silent."""
        far = min(offer.pickup_eta_s / self._params.far_pickup_eta_s, 1.0)
        near_share, far_share = self._params.acceptance_share, self._params.far_acceptance_share
        drawn = self._generator.random()
        if drawn < self._params.silence_share:
            return None
        if not self._habit.wants(offer, now_s):
            return False
        return bool(drawn < self._params.silence_share + near_share + far * (far_share - near_share))

    def _answer(self, offer: Offer, now_s: float) -> list[DriverAction]:
        self._answer_s = math.inf
        if self._will_accept:
            # The acceptance is sent: other offers are ignored until `assigned` or `offer_gone`.
            return [AcceptOffer(offer.offer_id, offer.ride_id)]
        self._forget_offer()
        is_waiting = self.state is DriverState.OFFERED
        if self._will_accept is False:
            if is_waiting:
                self._become_idle(now_s)
            return [DeclineOffer(offer.offer_id)]
        if is_waiting:
            self.state, self._step_s = DriverState.IDLE, max(now_s, offer.expires_s) + SILENCE_GRACE_S
        return [StaySilent(offer.offer_id)]

    def _forget_offer(self) -> None:
        self._offer, self._answer_s = None, math.inf

    def _approach(self, errand: Errand, now_s: float) -> None:
        pickup = self._streets.stop_at(errand.pickup)
        self._motion = self._streets.drive(self._motion, pickup, now_s, self._params.pace)
        self.state, self._step_s = DriverState.TO_PICKUP, self._motion.arrival_s
        self._will_cancel = bool(self._generator.random() < self._params.cancel_share)
        if self._will_cancel:
            self._step_s = now_s + self._generator.random() * (self._motion.arrival_s - now_s)

    def _carry(self, errand: Errand, now_s: float) -> None:
        dropoff = self._streets.stop_at(errand.dropoff)
        self._motion = self._streets.drive(self._motion, dropoff, now_s, self._params.pace)
        self.state, self._step_s = DriverState.ON_TRIP, self._motion.arrival_s + self._params.alighting_s

    def _go_on(self, errand: Errand, now_s: float) -> list[DriverAction]:
        if self.state is DriverState.TO_PICKUP and self._will_cancel:
            self._become_idle(now_s)
            return [CancelRide(errand.ride_id, "driver cannot come")]
        if self.state is DriverState.TO_PICKUP:
            self.state, self._step_s = DriverState.AT_PICKUP, now_s + self._params.boarding_s
            return [ReportArrived(errand.ride_id)]
        if self.state is DriverState.AT_PICKUP:
            self._carry(errand, now_s)
            return [ReportPickedUp(errand.ride_id)]
        self._turn_to_next(now_s)
        return [ReportDroppedOff(errand.ride_id)]

    def _turn_to_next(self, now_s: float) -> None:
        """After a ride: start the next one, keep considering an open offer, or become idle."""
        errand, self.next_errand = self.next_errand, None
        if errand is not None:
            self._begin(errand, now_s)
        elif self._offer is not None:
            self.state, self.errand, self._step_s = DriverState.OFFERED, None, math.inf
        else:
            self._become_idle(now_s)

    def _become_idle(self, now_s: float) -> None:
        self.state, self.errand = DriverState.IDLE, None
        self._step_s = now_s + self._generator.exponential(self._params.stay_s_mean)

    def _idle_on(self, now_s: float) -> list[DriverAction]:
        drawn, params = self._generator.random(), self._params
        self._step_s = now_s + self._generator.exponential(params.stay_s_mean)
        if not self._habit.works(self._node(now_s), now_s):
            return self._rest(self._habit.look_s_mean, now_s)
        if drawn < params.break_share:
            return self._rest(params.break_s_mean, now_s)
        if drawn < params.break_share + params.dark_share:
            self.dark_until_s = now_s + self._generator.exponential(params.dark_s_mean)
        elif drawn < params.break_share + params.dark_share + params.cruise_share:
            self._cruise(now_s)
        return []

    def _node(self, now_s: float) -> int:
        """The node nearest to where the driver can first turn off."""
        return self._streets.node_of(self._motion.next_corner(now_s)[0])

    def _rest(self, rest_s_mean: float, now_s: float) -> list[DriverAction]:
        self.state = DriverState.OFFLINE
        self._step_s = now_s + self._generator.exponential(rest_s_mean)
        return [GoOffline()]

    def _cruise(self, now_s: float) -> None:
        here = self._node(now_s)
        target = self._habit.next_node(here, now_s, self._generator)
        if target is None:
            target = self._streets.node_near(here, self._params.cruise_m_max, self._generator)
        self._motion = self._streets.drive(self._motion, target, now_s, self._params.pace)
        self._step_s += self._motion.arrival_s - now_s
