"""Any order of commands, late and wrong ones too: the invariants hold, and engines with planted bugs are caught."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from dispatch import commands as cmd
from dispatch.book import Book
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused
from dispatch.model import OfferState, Party
from dispatch.rules.invariants import History
from tests.dispatch.people import PARAMS, MemoryLeases, request

DRIVERS = st.sampled_from(["dora", "dan", "dina"])
RIDERS = st.sampled_from(["alice", "bob"])
ANYBODY = st.sampled_from(["dora", "dan", "dina", "alice", "bob"])


class City(RuleBasedStateMachine):
    """Riders, drivers and a matcher that may be late, round one engine."""

    engine_type = DispatchEngine
    rides = Bundle("rides")
    offers = Bundle("offers")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.engine = self.engine_type(PARAMS)
        self.leases = MemoryLeases()
        self.history = History()
        self.newest_token: dict[str, int] = {}
        self.now_s = 0.0
        self.last_offer = "none", "dora"

    def _handle(self, command: Any) -> Any:
        try:
            events = self.engine.handle(command, self.now_s)
        except CommandRefused:
            return []
        for event in events:
            self.history.observe(event)
        return events

    @rule(target=rides, rider=RIDERS)
    def ask(self, rider: Any) -> Any:
        ride_id = f"ride{len(self.history.rides)}"
        self._handle(request(ride_id, rider))
        return ride_id

    @rule(target=held, ride=rides, driver=DRIVERS)
    def take_lease(self, ride: Any, driver: Any) -> Any:
        """By a matcher that will come back late with it."""
        token = self._take(ride, driver)
        return multiple() if token is None else (ride, driver, token)

    @rule(target=offers, lease=consumes(held))
    def send_late_offer(self, lease: Any) -> Any:
        return self._send(*lease)

    @rule(target=offers, ride=rides, driver=DRIVERS)
    def send_offer(self, ride: Any, driver: Any) -> Any:
        token = self._take(ride, driver)
        return multiple() if token is None else self._send(ride, driver, token)

    def _take(self, ride: Any, driver: Any) -> Any:
        return self.leases._take(f"driver:{driver}", f"ride:{ride}", self.now_s, PARAMS.offer_ttl_s)

    def _send(self, ride: Any, driver: Any, token: Any) -> Any:
        if token <= self.newest_token.get(driver, 0):  # the store refuses it as stale
            return multiple()
        if not self._handle(cmd.SendOffer(ride, driver, token, 60.0)):
            return multiple()
        self.newest_token[driver] = token
        self.last_offer = f"{ride}-{token}", driver
        return self.last_offer

    @rule(offer=offers)
    def accept(self, offer: Any) -> None:
        self._answered(self._handle(cmd.AcceptOffer(*offer)))

    @rule(waits_s=st.sampled_from([1.0, PARAMS.offer_ttl_s]))
    def accept_the_last_offer(self, waits_s: Any) -> None:
        self.now_s += waits_s
        self._answered(self._handle(cmd.AcceptOffer(*self.last_offer)))

    @rule(offer=offers, leaves=st.sampled_from([cmd.DeclineOffer, cmd.WithdrawOffer]))
    def leave_to_others(self, offer: Any, leaves: Any) -> None:
        self._answered(self._handle(leaves(*offer)))

    @rule(offer=offers, driver=DRIVERS)
    def accept_as_somebody(self, offer: Any, driver: Any) -> None:
        self._answered(self._handle(cmd.AcceptOffer(offer[0], driver)))

    def _answered(self, events: Any) -> None:
        for event in events:
            offer = self.engine.ride(event.ride_id).offer
            if offer is not None and offer.state is not OfferState.SENT:
                for name in (f"driver:{offer.driver_id}", f"ride:{offer.ride_id}"):
                    self.leases.held.pop(name, None)

    @rule(ride=rides, by=st.sampled_from([Party.RIDER, Party.DRIVER]), who=ANYBODY)
    def cancel(self, ride: Any, by: Any, who: Any) -> None:
        self._handle(cmd.CancelRide(ride, by, who))

    @rule(ride=rides)
    def change_ones_mind(self, ride: Any) -> None:
        self._handle(cmd.CancelRide(ride, Party.RIDER, self.engine.ride(ride).rider_id))

    @rule(ride=rides, step=st.sampled_from([cmd.ReportArrival, cmd.ReportPickup, cmd.ReportDropoff]))
    def go_on(self, ride: Any, step: Any) -> None:
        self._handle(step(ride, self.engine.ride(ride).driver_id or "dora"))

    @rule(ride=rides, step=st.sampled_from([cmd.ReportArrival, cmd.ReportPickup, cmd.ReportDropoff]), who=DRIVERS)
    def report(self, ride: Any, step: Any, who: Any) -> None:
        self._handle(step(ride, who))

    @rule(ride=rides, what=st.sampled_from(["cancel", "end", "reassign", "correct", "no show"]))
    def intervene(self, ride: Any, what: str) -> None:
        commands = {
            "cancel": cmd.CancelRide(ride, Party.OPERATOR, "olga", "why"),
            "end": cmd.EndRide(ride, Party.OPERATOR, "why"),
            "reassign": cmd.Reassign(ride, "why"),
            "correct": cmd.CorrectRide(ride, "why", 100),
            "no show": cmd.ReportNoShow(ride, self.engine.ride(ride).driver_id or "dora", 60.0, 500),
        }
        self._answered(self._handle(commands[what]))

    @rule(seconds=st.sampled_from([0.5, 5.0, PARAMS.offer_ttl_s, PARAMS.max_wait_s, 1e4]), notices=st.booleans())
    def wait(self, seconds: Any, notices: Any) -> None:
        self.now_s += seconds
        if notices:
            self._handle(cmd.ExpireDue())

    @invariant()
    def nothing_is_violated(self) -> None:
        assert self.history.violations == []

    @invariant()
    def the_events_say_all_there_is(self) -> None:
        for ride_id, ride in self.history.rides.items():
            assert self.engine.ride(ride_id) == ride

    def teardown(self) -> None:
        """Whatever happened, time alone ends every ride."""
        self.now_s += 1e6
        self._handle(cmd.ExpireDue())
        assert all(ride.owed_cents is not None for ride in self.history.rides.values())
        assert self.history.violations == []
        assert self.history.open_rides() == []


LIMITS = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def test_no_order_of_commands_breaks_an_invariant() -> None:
    run_state_machine_as_test(City, settings=LIMITS)


class BlindBook(Book):
    def is_asked(self, driver_id: str) -> Any:
        return False

    has_next = is_carrying = is_asked


class WithoutBusyCheck(DispatchEngine):
    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self._book = BlindBook()


class WithoutExpiryCheck(DispatchEngine):
    def _offered_ride(self, offer_id: str, driver_id: str, now_s: float) -> Any:
        return super()._offered_ride(offer_id, driver_id, 0.0)


class LosesTheDriver(DispatchEngine):
    def _accept(self, command: Any, now_s: float) -> Any:
        events = super()._accept(command, now_s)
        ride_id = events[0].ride_id
        self._book.put(replace(self.ride(ride_id), driver_id=None))
        return events


class ForgetsToTell(DispatchEngine):
    def _withdraw(self, ride: Any, now_s: float) -> Any:
        super()._withdraw(ride, now_s)
        return []


class NeverExpires(DispatchEngine):
    def _expire_due(self, command: Any, now_s: float) -> Any:
        return []


@pytest.mark.parametrize("planted", [WithoutBusyCheck, WithoutExpiryCheck, LosesTheDriver, ForgetsToTell, NeverExpires])
def test_an_engine_with_a_planted_bug_is_caught(planted: Any) -> None:
    class Broken(City):
        engine_type = planted

    no_shrinking = settings(LIMITS, phases=[Phase.generate])
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_state_machine_as_test(Broken, settings=no_shrinking)
