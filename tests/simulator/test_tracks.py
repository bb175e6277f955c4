"""Driver tracks reconstructed from events, in the grid town of conftest (corners 100 m and 10 s apart)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dispatch import events as ev
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import Party
from kernel.points import Place
from kernel.supply import DriverState
from simulator.day import Day
from simulator.day_params import Acceptance, DayParams
from simulator.streets.tracks import STATES, Sighting, tracks_of
from tests.simulator.towns import crowded

_, IDLE, OFFERED, TO_PICKUP, AT_PICKUP, ON_TRIP, _ = DriverState


def happen(town: Any, *steps: Any) -> Any:
    """Events of ride r by driver d: (type, time, facts)."""
    common = {"ride_id": "r", "region_id": "town", "rider_id": "p"}
    return [
        kind(**common, **{"sequence": at + 1, "at_s": float(now_s), **facts})
        for at, (kind, now_s, facts) in enumerate(steps)
    ]


def asked(town: Any, *, pickup: Any = 2, dropoff: Any = 4, eta_s: Any = 20.0) -> Any:
    ends = {
        name: Place(float(town.lat_deg[node]), float(town.lng_deg[node]), node)
        for name, node in (("pickup", pickup), ("dropoff", dropoff))
    }
    fare = {"seats": 1, "fare_cents": 700, "currency": "USD"}
    offer = {"offer_id": "o", "driver_id": "d", "token": 1}
    return [
        (ev.RideRequested, 0, {"quote_id": "q", **ends, **fare}),
        (ev.OfferSent, 2, {**offer, **ends, **fare, "expires_s": 17.0, "pickup_eta_s": eta_s}),
        (ev.OfferAccepted, 4, {**offer, "pickup_eta_s": eta_s}),
    ]


def corners(tracks: Any) -> Any:
    """(seconds, column of the town, state) of the only driver."""
    column = np.rint(tracks.lng_e6 / 900.0 * 100.0) / 100.0
    states = [STATES[number] for number in tracks.state]
    return list(zip((tracks.t_ms / 1e3).round(1).tolist(), column.tolist(), states, strict=True))


def test_a_ride_by_hand_follows_the_roads_and_keeps_the_times_of_its_events(town: Any) -> None:
    trip = [
        (ev.DriverArrived, 24, {"driver_id": "d"}),
        (ev.RiderPickedUp, 30, {"driver_id": "d"}),
        (ev.RiderDroppedOff, 70, {"driver_id": "d", "fare_cents": 700, "currency": "USD"}),
    ]
    tracks = tracks_of(happen(town, *asked(town), *trip), town, {"d": 0})
    assert tracks.driver_id == ("d",)
    assert corners(tracks) == [
        (0.0, 0.0, IDLE), (2.0, 0.0, OFFERED), (4.0, 0.0, TO_PICKUP), (14.0, 1.0, TO_PICKUP), (24.0, 2.0, TO_PICKUP),
        (24.0, 2.0, AT_PICKUP), (30.0, 2.0, ON_TRIP), (50.0, 3.0, ON_TRIP), (70.0, 4.0, ON_TRIP), (70.0, 4.0, IDLE),
    ]  # fmt: skip


def test_drives_under_way_at_the_end_of_the_log_are_added(town: Any) -> None:
    other = [(ev.RideRequested, 15, asked(town)[0][2])]
    approach = tracks_of(happen(town, *asked(town), *other), town, {"d": 0})
    assert corners(approach)[2:] == [(4.0, 0.0, TO_PICKUP), (14.0, 1.0, TO_PICKUP), (15.0, 1.1, TO_PICKUP)]
    trip = [(ev.DriverArrived, 24, {"driver_id": "d"}), (ev.RiderPickedUp, 30, {"driver_id": "d"})]
    late = [(ev.RideRequested, 45, asked(town)[0][2])]
    aboard = tracks_of(happen(town, *asked(town), *trip, *late), town, {"d": 0})
    assert corners(aboard)[-3:] == [(30.0, 2.0, ON_TRIP), (40.0, 3.0, ON_TRIP), (45.0, 3.5, ON_TRIP)]


def test_a_driver_who_is_called_back_stops_on_the_way(town: Any) -> None:
    cancelled = (ev.RideCancelled, 9, {"by": Party.RIDER, "reason": None, "driver_id": "d"})
    tracks = tracks_of(happen(town, *asked(town), cancelled), town, {"d": 0})
    assert corners(tracks)[2:] == [(4.0, 0.0, TO_PICKUP), (9.0, 0.5, TO_PICKUP), (9.0, 0.5, IDLE)]


def test_an_idle_driver_is_where_the_rounds_saw_her_and_one_at_work_where_the_events_say(town: Any) -> None:
    declined = (ev.OfferDeclined, 6, {"offer_id": "o", "driver_id": "d", "reason": None})
    seen = [(0, 0), (1, 0), (3, 4), (200, 1), (204, 4), (210, 4)]  # the third while she had an offer
    sightings = [Sighting(float(now_s), "d", node) for now_s, node in seen]
    tracks = tracks_of(happen(town, *asked(town)[:2], declined), town, {}, sightings)
    assert corners(tracks) == [
        (0.0, 0.0, IDLE), (2.0, 0.0, OFFERED), (6.0, 0.0, IDLE),
        (180.0, 0.0, IDLE), (200.0, 1.0, IDLE), (200.0, 1.0, IDLE),
        (201.3, 2.0, IDLE), (202.7, 3.0, IDLE), (204.0, 4.0, IDLE),
    ]  # fmt: skip


def test_a_driver_of_whom_nobody_knows_the_start_appears_at_the_pickup(town: Any) -> None:
    tracks = tracks_of(happen(town, *asked(town), (ev.DriverArrived, 24, {"driver_id": "d"})), town, {})
    assert corners(tracks) == [(24.0, 2.0, AT_PICKUP)]


@pytest.mark.parametrize("acceptance", list(Acceptance))
def test_nobody_jumps_and_time_never_runs_back_on_a_simulated_day(town: Any, acceptance: Any) -> None:
    inputs = crowded(town, count=120)
    params = DayParams(acceptance=acceptance, is_surge_on=False)
    outcome = Day(inputs.city, inputs.requests, inputs.starts, OptimalPolicy(town), params).run()
    starts = dict(zip(outcome.fleet.driver_id, inputs.starts.node.tolist(), strict=True))
    tracks = tracks_of(outcome.events, town, starts)
    assert {STATES[number] for number in tracks.state} >= {IDLE, TO_PICKUP, AT_PICKUP, ON_TRIP}
    for first, after in zip(tracks.offset[:-1], tracks.offset[1:], strict=True):
        assert (np.diff(tracks.t_ms[first:after]) >= 0).all()
        north, east = (np.abs(np.diff(column[first:after])) for column in (tracks.lat_e6, tracks.lng_e6))
        assert (north + east <= 900 + 2).all()


def test_no_events_make_no_tracks(town: Any) -> None:
    assert tracks_of([], town, {}).offset.tolist() == [0]


def test_a_run_that_is_longer_than_tracks_can_hold_is_refused(town: Any) -> None:
    late = [(ev.DriverArrived, 30 * 86_400, {"driver_id": "d"})]
    with pytest.raises(ValueError, match="the run lasts 30 days; tracks hold 25: replay a part of it"):
        tracks_of(happen(town, *asked(town), *late), town, {"d": 0})
