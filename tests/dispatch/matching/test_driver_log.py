"""Transitions of drivers, reconstructed from ride events."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch import events as ev
from dispatch.matching.driver_log import IDLE_S_MAX, transitions_of
from dispatch.model import Party
from kernel.points import Place

STEP_S = 200.0


def place(node: Any) -> Any:
    return Place(40.75, -74.0 + node / 100, node)


def common(ride_id: str, at_s: float) -> Any:
    return {"ride_id": ride_id, "sequence": 1, "at_s": float(at_s), "region_id": "town", "rider_id": "alice"}


def requested(ride_id: str, at_s: float, pickup: Any = 1, dropoff: Any = 2) -> Any:
    return ev.RideRequested(
        **common(ride_id, at_s), quote_id="q", pickup=place(pickup), dropoff=place(dropoff), seats=1,
        fare_cents=1000, currency="USD",
    )  # fmt: skip


def accepted(ride_id: str, at_s: float, driver: Any = "dora") -> Any:
    return ev.OfferAccepted(**common(ride_id, at_s), offer_id="o", driver_id=driver, token=1, pickup_eta_s=60.0)


def arrived(ride_id: str, at_s: float, driver: Any = "dora") -> Any:
    return ev.DriverArrived(**common(ride_id, at_s), driver_id=driver)


def dropped(ride_id: str, at_s: float, driver: Any = "dora", fare: Any = 1000) -> Any:
    return ev.RiderDroppedOff(**common(ride_id, at_s), driver_id=driver, fare_cents=fare, currency="USD")


def given_back(ride_id: str, at_s: float, driver: Any = "dora") -> Any:
    return ev.AssignmentCancelled(**common(ride_id, at_s), driver_id=driver, reason=None)


def cancelled(ride_id: str, at_s: float, driver: Any = "dora") -> Any:
    return ev.RideCancelled(**common(ride_id, at_s), by=Party.RIDER, reason=None, driver_id=driver)


def rows(*events: Any) -> Any:
    told = transitions_of(events, STEP_S)
    columns = told.node, told.at_s, told.next_node, told.next_s, told.fare_cents
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_a_driver_is_first_seen_at_the_first_pickup_and_waits_where_the_rider_got_out() -> None:
    assert rows(
        requested("a", 0), accepted("a", 10), dropped("a", 400),
        requested("b", 700, pickup=3, dropoff=4), accepted("b", 700), dropped("b", 900, fare=700),
    ) == [
        (1, 10.0, 2, 400.0, 1000.0),
        (2, 400.0, 2, 600.0, 0.0),
        (2, 600.0, 2, 700.0, 0.0),
        (2, 700.0, 4, 900.0, 700.0),
    ]  # fmt: skip


def test_a_ride_accepted_before_the_last_one_ended_begins_where_that_ended() -> None:
    told = rows(
        requested("a", 0), requested("b", 0, pickup=3, dropoff=4), accepted("a", 10), accepted("b", 300),
        dropped("a", 400), dropped("b", 800),
    )  # fmt: skip
    assert told == [(1, 10.0, 2, 400.0, 1000.0), (2, 400.0, 4, 800.0, 1000.0)]


def test_a_ride_given_back_costs_its_time_and_leaves_the_driver_where_they_were() -> None:
    told = rows(
        requested("a", 0), accepted("a", 0), dropped("a", 200), requested("b", 200, pickup=3), accepted("b", 200),
        given_back("b", 260),
    )  # fmt: skip
    assert told[1:] == [(2, 200.0, 2, 260.0, 0.0)]


def test_a_rider_who_does_not_come_leaves_the_driver_at_the_pickup() -> None:
    told = rows(requested("a", 0), accepted("a", 0), dropped("a", 200), requested("b", 200, pickup=3),
                accepted("b", 200), arrived("b", 260), cancelled("b", 300), requested("c", 400))  # fmt: skip
    assert told[1:] == [(2, 200.0, 3, 300.0, 0.0), (3, 300.0, 3, 400.0, 0.0)]


def test_a_cancelled_ride_without_a_driver_moves_nobody() -> None:
    assert rows(requested("a", 0), accepted("a", 0), dropped("a", 200), cancelled("b", 200, driver=None)) == [
        (1, 0.0, 2, 200.0, 1000.0)
    ]


def test_a_driver_without_another_ride_waits_until_the_last_request() -> None:
    told = rows(requested("a", 0), accepted("a", 0), dropped("a", 200), requested("b", 500), requested("c", 550))
    assert told[1:] == [(2, 200.0, 2, 400.0, 0.0), (2, 400.0, 2, 550.0, 0.0)]


def test_a_long_wait_is_a_break() -> None:
    told = rows(requested("a", 0), accepted("a", 0), dropped("a", 200), requested("b", 9000))
    assert told[-1][3] == 200.0 + IDLE_S_MAX


def test_a_driver_with_an_unfinished_ride_waited_until_accepting_it() -> None:
    told = rows(requested("a", 0), accepted("a", 0), dropped("a", 200), requested("b", 300), accepted("b", 300),
                requested("c", 900))  # fmt: skip
    assert told[1:] == [(2, 200.0, 2, 300.0, 0.0)]


def test_a_log_that_begins_in_the_middle_is_read_from_there() -> None:
    assert rows(accepted("a", 0), dropped("a", 200), dropped("z", 300)) == []


def test_no_driver_does_two_things_at_once() -> None:
    rng = np.random.default_rng(3)
    events, t_s = [], 0.0
    for number in range(60):
        t_s += float(rng.exponential(150.0))
        ride, driver = f"r{number}", f"d{number % 3}"
        events += [
            (t_s, requested(ride, t_s, int(rng.integers(5)), int(rng.integers(5)))),
            (t_s + 1, accepted(ride, t_s + 1, driver)),
            (t_s + 500, dropped(ride, t_s + 500, driver)),
        ]
    log = [event for _, event in sorted(events, key=lambda pair: pair[0])]
    for driver in ("d0", "d1", "d2"):
        own = [event for event in log if getattr(event, "driver_id", driver) == driver]
        told = transitions_of(own, STEP_S)
        order = np.argsort(told.at_s)
        assert (told.at_s[order][1:] >= told.next_s[order][:-1]).all()
