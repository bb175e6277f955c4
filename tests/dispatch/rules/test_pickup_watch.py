"""When a driver will not come, and when it only looks like it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dispatch import commands as cmd
from dispatch.errors import IllegalMove, NotFound
from dispatch.model import DispatchParams, RideState
from dispatch.ports import Positions
from dispatch.rules.pickup_watch import SILENT, STALLED, PickupWatch, Sighting
from dispatch.service.pickup_watch import LOOK_EVERY_S, DriverWatch
from geo.places import Places, snapped
from geo.roads.graph import RoadGraph
from kernel.points import Point
from location_ingest.model import StoreParams
from tests.dispatch.people import accept, arrive, engine_after, offer, request

PARAMS = DispatchParams(stale_after_s=60.0, silent_after_s=90.0, stalled_after_s=240.0)
RIDE = engine_after(request(), offer(), accept()).ride("ride")


@pytest.fixture
def watch() -> Any:
    return PickupWatch(PARAMS)


def look(watch: Any, now_s: float, seen: Any = None, newest_s: Any = None, ride: Any = RIDE) -> Any:
    sightings = {} if seen is None else {"ride": seen}
    newest_s = now_s if newest_s is None else newest_s
    return [(one.ride_id, reason) for one, reason in watch.look([ride], sightings, newest_s, now_s)]


def test_a_driver_who_falls_silent_loses_the_ride_after_the_time_allowed(watch: Any) -> None:
    last = Sighting(t_s=100.0, remaining_s=300.0)
    assert look(watch, 100.0, last) == []
    assert look(watch, 190.0, last) == []
    assert look(watch, 190.1, last) == [("ride", SILENT)]


@pytest.mark.parametrize("swept_after_s", [30.0, 120.0, 1e9])
def test_that_the_sweep_has_taken_the_driver_out_changes_nothing(watch: Any, swept_after_s: Any) -> None:
    """Nobody need be woken by a DriverWentStale: the silence counts from the last position that was seen."""
    last = Sighting(t_s=100.0, remaining_s=300.0)
    looks = {100.0 + n * LOOK_EVERY_S: LOOK_EVERY_S * n < swept_after_s for n in range(30)}
    taken_s = [now_s for now_s, is_there in looks.items() if look(watch, now_s, last if is_there else None)]
    assert taken_s[0] == 190.0 + LOOK_EVERY_S


def test_the_watch_acts_on_a_silence_before_the_sweep_tells_of_it() -> None:
    assert DispatchParams().silent_after_s + LOOK_EVERY_S < StoreParams().remove_after_s


def test_a_driver_never_heard_of_has_as_long_from_the_first_look_on(watch: Any) -> None:
    assert look(watch, 1000.0) == []
    assert look(watch, 1090.0) == []
    assert look(watch, 1090.5) == [("ride", SILENT)]


def test_while_nobody_is_heard_nobody_is_judged_and_the_time_begins_anew(watch: Any) -> None:
    last = Sighting(100.0, 300.0)
    assert look(watch, 100.0, last) == []
    assert look(watch, 300.0, last, newest_s=100.0) == []
    assert list(watch.look([RIDE], {}, None, 310.0)) == []  # not even a position left
    assert look(watch, 320.0, last) == []
    assert look(watch, 410.5, last) == [("ride", SILENT)]


def test_a_driver_who_comes_no_nearer_loses_the_ride(watch: Any) -> None:
    for now_s in range(0, 241, 20):
        assert look(watch, float(now_s), Sighting(now_s, 300.0 - now_s % 3)) == []
    assert look(watch, 241.0, Sighting(241.0, 299.0)) == [("ride", STALLED)]


def test_slow_is_not_stalled(watch: Any) -> None:
    for now_s in range(0, 2000, 20):
        assert look(watch, float(now_s), Sighting(now_s, 1000.0 - now_s / 4)) == []


def test_who_waits_by_the_pickup_is_not_stalled(watch: Any) -> None:
    for now_s in range(0, 2000, 20):
        assert look(watch, float(now_s), Sighting(now_s, 55.0)) == []


def test_another_driver_of_the_same_ride_begins_anew(watch: Any) -> None:
    assert look(watch, 0.0, Sighting(0.0, 300.0)) == []
    assert look(watch, 239.0, Sighting(239.0, 300.0), ride=replace(RIDE, driver_id="dan")) == []
    assert look(watch, 300.0, Sighting(300.0, 300.0), ride=replace(RIDE, driver_id="dan")) == []


def test_a_ride_taken_back_waits_for_somebody_else() -> None:
    engine = engine_after(request(), offer(), accept())
    (event,) = engine.handle(cmd.TakeBack("ride", "dora", SILENT), 200.0)
    assert (event.driver_id, event.reason) == ("dora", SILENT)
    ride = engine.ride("ride")
    assert (ride.state, ride.driver_id, ride.refused_by) == (RideState.REQUESTED, None, ("dora",))


def test_a_ride_is_taken_back_from_its_own_driver_and_only_before_the_arrival() -> None:
    engine = engine_after(request(), offer(), accept())
    with pytest.raises(NotFound):
        engine.handle(cmd.TakeBack("ride", "dan", SILENT), 200.0)
    engine.handle(arrive(), 200.0)
    with pytest.raises(IllegalMove):
        engine.handle(cmd.TakeBack("ride", "dora", SILENT), 201.0)


def long_street(*, is_one_way: bool) -> Places:
    """Four kilometres from west to east without a crossing, 480 s; a way back of ten kilometres round the block."""
    source, target, length_m = [0, 1, 2], [1, 2, 0], [4_000.0, 5_000.0, 5_000.0]
    if not is_one_way:
        source, target, length_m = [*source, 1], [*target, 0], [*length_m, 4_000.0]
    time_s = np.array(length_m) * 0.12
    return Places.of(RoadGraph.from_arrays([60.0, 60.0, 59.97], [25.0, 25.072, 25.0], source, target, length_m, time_s))


def taken_back(places: Places, share_at: dict[float, float], pickup_share: float = 0.5) -> list[str]:
    """Why the driver who is this far along the street at these times loses the ride, look by look."""
    [pickup], _ = snapped(places.graph, [Point(60.0, 25.0 + 0.072 * pickup_share)])
    ride, watch = replace(RIDE, pickup=pickup, dropoff=pickup, map_id=places.map_id), DriverWatch(places, PARAMS)
    reasons = []
    for now_s, share in share_at.items():
        lng_deg = np.array([25.0 + 0.072 * share])
        seen = Positions(("dora",), np.array([60.0]), lng_deg, np.array([np.nan]), np.array([now_s]))
        reasons += [command.reason for command in watch.look([ride], seen, now_s)]
    return reasons


def test_a_driver_who_comes_nearer_along_a_street_without_a_crossing_keeps_the_ride() -> None:
    drive = {20.0 * step: 0.02 * step for step in range(24)}  # half the usual speed
    assert taken_back(long_street(is_one_way=False), drive, pickup_share=0.98) == []


def test_a_driver_who_stands_on_the_street_of_the_pickup_and_far_from_it_loses_the_ride() -> None:
    stand = {20.0 * step: 0.26 for step in range(14)}
    assert taken_back(long_street(is_one_way=False), stand, pickup_share=0.49) == [STALLED]


def test_a_driver_seen_just_behind_the_pickup_on_a_one_way_street_is_there() -> None:
    wait = {20.0 * step: 0.509 for step in range(20)}  # 36 m behind it; the way round takes 1,680 s
    assert taken_back(long_street(is_one_way=True), wait) == []
