"""A day in the town of conftest: 25 corners, 10 s apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dispatch import events as ev
from dispatch.book import Book
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import RideState
from dispatch.rules.lifecycle import FREES_DRIVER
from geo.city import City, Region
from simulator.day import Day
from simulator.day_params import Acceptance, DayParams
from simulator.demand.inputs import DriverStarts, PlacedRequests
from simulator.demand.requests import Requests
from simulator.people.fleet import Fleet
from simulator.reports.figures import figures_of, gini
from simulator.service.event_log import sha256_of
from simulator.service.leases import Leases

TARIFF = {
    "currency": "USD",
    "base_cents": 250,
    "per_km_cents": 125,
    "per_minute_cents": 35,
    "minimum_cents": 700,
    "rounding_cents": 1,
}


@pytest.fixture(scope="module")
def city(town: Any) -> Any:
    return City(Region("town", "Town", "UTC", "USD", 9, 9, 200.0, ""), town, {"tariff": TARIFF})


def asked(town: Any, rows: Any, seats: Any = 1) -> Any:
    """Requests as (t_s, pickup node, dropoff node)."""
    t_s, pickup, dropoff = (np.array(column) for column in zip(*rows, strict=True))
    places = [np.column_stack([town.lat_deg[node], town.lng_deg[node]]) for node in (pickup, dropoff)]
    return PlacedRequests(Requests(t_s.astype(float), *places, np.full(len(rows), seats, np.uint8)), pickup, dropoff)


def starts(*nodes: Any) -> Any:
    return DriverStarts(np.array(nodes), np.full(len(nodes), 4))


def live(city: Any, requests: Any, drivers: Any, **params: Any) -> Any:
    params = {"acceptance": Acceptance.ALWAYS, "is_surge_on": False, **params}
    return Day(city, requests, drivers, OptimalPolicy(city.graph), DayParams(**params)).run()


def crowded(town: Any, count: int = 150, seed: int = 5) -> Any:
    rng = np.random.default_rng(seed)
    pickup = rng.integers(0, 25, count)
    rows = zip(np.sort(rng.integers(0, 900, count)), pickup, (pickup + rng.integers(1, 25, count)) % 25, strict=True)
    return asked(town, list(rows))


def names(outcome: Any) -> Any:
    return [type(event).__name__ for event in outcome.events]


def test_one_ride_by_hand_waits_for_its_round_and_its_driver(city: Any, town: Any) -> None:
    outcome = live(city, asked(town, [(0, 2, 4)]), starts(0), boarding_s=7.0)
    assert names(outcome) == [
        "RideRequested", "OfferSent", "OfferAccepted", "DriverArrived", "RiderPickedUp", "RiderDroppedOff",
    ]  # fmt: skip
    assert [event.at_s for event in outcome.events] == [0.0, 2.0, 2.0, 22.0, 29.0, 49.0]
    figures = figures_of(outcome)
    assert figures["pickup_wait_s"]["mean"] == 29.0
    assert figures["deadhead_share"] == 0.5
    assert figures["utilisation"] == pytest.approx(20 / 49)
    assert outcome.events[-1].fare_cents == 700


def test_a_driver_serves_the_next_rider_from_where_the_last_one_left(city: Any, town: Any) -> None:
    outcome = live(city, asked(town, [(0, 0, 4), (1, 4, 3)]), starts(0))
    pickups = [event.at_s for event in outcome.events if isinstance(event, ev.RiderPickedUp)]
    assert pickups == [2.0, 42.0]


def test_a_driver_who_drops_off_soon_is_sent_to_the_next_rider_before_an_idle_one_far_away(
    city: Any, town: Any
) -> None:
    trips = asked(town, [(0, 0, 4), (31, 4, 3)])
    chained, patient = (live(city, trips, starts(0, 20), chain_within_s=within_s) for within_s in (60.0, 0.0))
    pickups = [
        [event.at_s for event in day.events if isinstance(event, ev.RiderPickedUp)] for day in (chained, patient)
    ]
    assert pickups == [[2.0, 42.0], [2.0, 112.0]]
    assert names(chained)[-5:] == [
        "OfferAccepted",
        "RiderDroppedOff",
        "DriverArrived",
        "RiderPickedUp",
        "RiderDroppedOff",
    ]
    assert chained.violations == patient.violations == []


def test_rides_are_not_chained_while_riders_queue(city: Any, town: Any) -> None:
    outcome = live(city, asked(town, [(0, 0, 4), (31, 4, 3)]), starts(0), chain_within_s=60.0)
    accepted = [event.at_s for event in outcome.events if isinstance(event, ev.OfferAccepted)]
    assert accepted == [2.0, 42.0]


def test_a_request_that_nobody_can_serve_expires(city: Any, town: Any) -> None:
    outcome = live(city, asked(town, [(0, 2, 4)], seats=5), starts(0), max_wait_s=60.0)
    assert names(outcome) == ["RideRequested", "RideExpired"]
    assert outcome.events[-1].at_s == 60.0


def test_a_rider_whose_driver_is_still_on_the_way_gives_up_in_time(city: Any, town: Any) -> None:
    outcome = live(city, asked(town, [(0, 24, 4)]), starts(0), max_wait_s=30.0)
    (cancelled,) = (event for event in outcome.events if isinstance(event, ev.RideCancelled))
    assert (cancelled.by, cancelled.at_s, cancelled.driver_id) == ("rider", 30.0, "d000000")


def test_a_driver_whose_ride_is_cancelled_continues_from_the_current_position(city: Any, town: Any) -> None:
    outcome = live(city, asked(town, [(0, 4, 24), (31, 1, 0)]), starts(0), max_wait_s=30.0)
    # Under way along the row since 2; the rider at its end gives up at 30; at 32 the fourth corner turns the driver.
    last = outcome.virtual_dispatch.history.rides["r0000001"]
    assert last.picked_up_s == pytest.approx(52.0)
    assert outcome.fleet.odometer.deadhead_m == pytest.approx(300.0 + 200.0)


def test_at_closing_time_trips_are_finished_and_other_rides_are_cancelled(city: Any, town: Any) -> None:
    outcome = live(city, asked(town, [(0, 0, 24), (1, 24, 0)]), starts(0), drain_s=10.0)
    states = {ride_id: ride.state for ride_id, ride in outcome.virtual_dispatch.history.rides.items()}
    assert states == {"r0000000": RideState.COMPLETED, "r0000001": RideState.CANCELLED}
    assert outcome.violations == []


@pytest.mark.parametrize("acceptance", list(Acceptance))
@pytest.mark.parametrize("is_surge_on", [False, True])
def test_every_ride_ends_and_no_invariant_breaks(city: Any, town: Any, acceptance: Any, is_surge_on: Any) -> None:
    outcome = live(city, crowded(town), starts(*range(0, 25, 3)), acceptance=acceptance, is_surge_on=is_surge_on)
    figures = figures_of(outcome)
    assert outcome.violations == []
    assert figures["requests"] == figures["completed"] + figures["cancelled"] + figures["expired"]
    assert figures["requests"] + outcome.left_for_price == 150
    assert figures["completed"] > 75


@pytest.mark.parametrize("acceptance", list(Acceptance))
def test_one_seed_gives_one_log(city: Any, town: Any, acceptance: Any) -> None:
    logs = [
        sha256_of(live(city, crowded(town), starts(3, 9, 14), acceptance=acceptance, is_surge_on=True, seed=7).events)
        for _ in range(2)
    ]
    assert logs[0] == logs[1]


def test_another_seed_gives_another_log(city: Any, town: Any) -> None:
    logs = {
        sha256_of(live(city, crowded(town), starts(3, 9, 14), acceptance=Acceptance.MODEL, seed=seed).events)
        for seed in (1, 2, 3)
    }
    assert len(logs) == 3


def test_a_planted_violation_is_found(city: Any, town: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that no longer knows who is busy, shown all drivers as free, with leases given to anyone."""
    supply = Fleet.supply

    def everyone(self: Any, now_s: float, n_waiting: Any) -> Any:
        self._is_bound[:] = False
        return supply(self, now_s, n_waiting)

    monkeypatch.setattr(Fleet, "supply", everyone)
    monkeypatch.setattr(Book, "is_asked", lambda self, driver_id: False)
    monkeypatch.setattr(Book, "has_next", lambda self, driver_id: False)
    monkeypatch.setattr(Leases, "take", lambda self, driver_id, ride_id, now_s: 1)
    violations = live(city, crowded(town), starts(3, 9)).violations
    assert any("was asked while having a next ride" in sentence for sentence in violations)
    assert any("is not newer than the last" in sentence for sentence in violations)


def test_drivers_wait_for_work_since_they_came_on_shift_or_were_last_let_go(
    city: Any, town: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a round is told, against the log: the last event that let the driver go."""
    seen, supply = [], Fleet.supply

    def noted(self: Any, now_s: float, n_waiting: Any) -> Any:
        seen.append(supply(self, now_s, n_waiting))
        return seen[-1]

    monkeypatch.setattr(Fleet, "supply", noted)
    events = live(city, crowded(town), starts(3, 9, 14), acceptance=Acceptance.MODEL).events
    let_go = [event for event in events if isinstance(event, FREES_DRIVER)]
    checked = 0
    for snapshot in seen:
        for driver_id, since_s, free_in_s in zip(
            snapshot.driver_id, snapshot.idle_since_s, snapshot.free_in_s, strict=True
        ):
            ends_s = [event.at_s for event in let_go if event.driver_id == driver_id and event.at_s < snapshot.now_s]
            if free_in_s > 0.0:
                assert since_s == snapshot.now_s + free_in_s
            elif ends_s:
                assert ends_s[-1] <= since_s <= snapshot.now_s  # later: a break since
                checked += since_s == ends_s[-1]
    assert checked > 20


def test_idle_time_with_a_weight_shares_the_work_more_evenly(city: Any, town: Any) -> None:
    """Two drivers at one corner, and now and then a rider there: by the pickup alone one has most of them."""
    rare = asked(town, [(120 * n, 12, 12 + (1 if n % 2 else 5)) for n in range(1, 7)])
    rides = []
    for idle in (0.0, 0.1):
        outcome = live(city, rare, starts(12, 12), dispatch_changes={"score": {"idle": idle}})
        taken = [event.driver_id for event in outcome.events if isinstance(event, ev.OfferAccepted)]
        rides.append(sorted(taken.count(driver_id) for driver_id in set(taken)))
    assert rides == [[1, 5], [3, 3]]


def test_prices_rise_where_riders_wait_and_fares_follow(city: Any, town: Any) -> None:
    rush = asked(town, [(second // 4, 12, 24) for second in range(600)])
    outcome = live(city, rush, starts(0, 1), is_surge_on=True, max_wait_s=120.0)
    assert max(sample.multiplier.max() for sample in outcome.samples) > 1.5
    fares = [event.fare_cents for event in outcome.events if isinstance(event, ev.RideRequested)]
    assert fares[-1] > 1.5 * fares[0]


def test_high_prices_reduce_requests_in_the_behaviour_model(city: Any, town: Any) -> None:
    rush = asked(town, [(second // 4, 12, 24) for second in range(600)])
    left = [
        live(city, rush, starts(0, 1), acceptance=Acceptance.MODEL, is_surge_on=is_on, max_wait_s=120.0).left_for_price
        for is_on in (False, True)
    ]
    assert left[1] > 2 * left[0]


@pytest.mark.parametrize(
    ("values", "expected"), [([], 0.0), ([0, 0], 0.0), ([3, 3, 3], 0.0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25)]
)
def test_gini_by_hand(values: Any, expected: Any) -> None:
    assert gini(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "value"), [("boarding_s", -1.0), ("drain_s", float("nan")), ("seed", -1), ("max_wait_s", 0.0)]
)
def test_invalid_parameters_are_refused_on_construction(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        DayParams(**{name: value})
