"""The GPS error model: statistics of errors and gaps, and tracking by the shipped ping filter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dispatch.events import AssignmentCancelled
from dispatch.matching.optimal import OptimalPolicy
from dispatch.rules.pickup_watch import SILENT
from location_ingest.model import IngestParams
from simulator.day import Day
from simulator.day_params import DayParams
from simulator.service.event_log import sha256_of
from simulator.service.gps import GpsParams, Receivers
from simulator.service.tracking import Tracking
from tests.simulator.towns import crowded

QUIET = {"spike_share": 0.0}


def errors(params: Any, *, count: int = 400, pings: Any = 600, seed: int = 1) -> Any:
    """East errors (pings, count) and fixes (pings, count)."""
    receivers = Receivers(params, count, seed)
    fixes = [receivers.next() for _ in range(pings)]
    return np.array([fix.east_m for fix in fixes]), np.array([fix.has_fix for fix in fixes])


def test_errors_have_the_deviation_asked_for_and_fade_with_its_time() -> None:
    east_m, has_fix = errors(GpsParams(noise_m=12.0, noise_s=40.0, **QUIET))
    assert east_m.std() == pytest.approx(12.0, rel=0.03)
    for lag in (1, 10):
        kept = (east_m[lag:] * east_m[:-lag]).mean() / east_m.var()
        assert kept == pytest.approx(math.exp(-lag * 4.0 / 40.0), abs=0.03)
    assert has_fix.all()


def test_gaps_have_the_share_and_the_length_asked_for() -> None:
    _, has_fix = errors(GpsParams(gap_share=0.1, gap_s_mean=40.0))
    assert 1.0 - has_fix.mean() == pytest.approx(0.1, abs=0.01)
    ends = (~has_fix[:-1] & has_fix[1:]).sum() / (~has_fix[:-1]).sum()
    assert ends == pytest.approx(1.0 - math.exp(-4.0 / 40.0), rel=0.05)


def test_outliers_have_the_share_and_the_distance_asked_for() -> None:
    east_m, _ = errors(GpsParams(noise_m=5.0, spike_share=0.01))
    assert (np.abs(east_m) > 50.0).mean() == pytest.approx(0.01, rel=0.1)


def test_one_seed_gives_one_series_of_errors_and_another_another() -> None:
    params = GpsParams(noise_m=5.0, gap_share=0.2)
    (first, fixes), (again, same_fixes), (other, _) = (errors(params, pings=20, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (fixes == same_fixes).all()
    assert (first != other).all()


@pytest.fixture
def track() -> Any:
    """Tracking of one driver in the town, with everything but the errors as it comes."""

    def make(**params: Any) -> Any:
        return Tracking(GpsParams(**params), IngestParams(), "town", ["d0"], seed=1)

    return make


def stand(tracking: Any, pings: Any, lat_deg: Any = 0.0, lng_deg: Any = 0.0, begin_s: Any = 0.0) -> None:
    here = np.array([lat_deg]), np.array([lng_deg]), np.zeros(1)
    for number in range(pings):
        tracking.take(np.zeros(1, np.int64), *here, begin_s + number * tracking.params.ping_s)


def test_an_accepted_position_is_near_the_true_one(track: Any, town: Any) -> None:
    tracking = track(noise_m=8.0, **QUIET)
    stand(tracking, 50, town.lat_deg[7], town.lng_deg[7])
    assert town.snap(tracking.lat_deg, tracking.lng_deg)[0].tolist() == [7]
    assert tracking.last_ping_s[0] == 49 * 4.0
    figures = tracking.figures()
    assert (figures["pings_accepted"], figures["pings_rejected"]) == (50, {})
    assert 2.0 < figures["error_m_mean"] < 25.0


def test_a_spike_is_rejected_by_name_and_the_old_position_stays(track: Any) -> None:
    tracking = track(noise_m=1.0, **QUIET)
    stand(tracking, 3)
    stand(tracking, 1, lat_deg=0.05, begin_s=12.0)
    assert tracking.figures()["pings_rejected"] == {"impossible_jump": 1}
    assert abs(tracking.lat_deg[0]) < 1e-3
    assert tracking.last_ping_s[0] == 8.0
    stand(tracking, 1, begin_s=16.0)
    assert tracking.last_ping_s[0] == 16.0


def test_fixes_with_an_accuracy_above_the_limit_are_rejected(track: Any) -> None:
    tracking = track(noise_m=400.0)
    stand(tracking, 5)
    assert tracking.figures()["pings_rejected"] == {"too_coarse": 5}
    assert math.isnan(tracking.lat_deg[0])


def test_a_car_at_rest_may_repeat_itself_without_noise(track: Any) -> None:
    tracking = track(gap_share=0.3)
    stand(tracking, 200)
    figures = tracking.figures()
    assert figures["pings_rejected"] == {}
    assert figures["pings_accepted"] + figures["pings_without_fix"] == 200
    assert figures["error_m_mean"] == 0.0


def live(town: Any, **params: Any) -> Any:
    inputs = crowded(town, count=60, last_s=600)
    return Day(inputs.city, inputs.requests, inputs.starts, OptimalPolicy(town), DayParams(**params)).run()


def test_without_noise_and_gaps_nothing_is_tracked(town: Any) -> None:
    outcome = live(town)
    assert outcome.fleet.tracking is None
    assert not GpsParams().is_on


def test_a_day_of_noisy_pings_is_the_same_for_a_seed_and_keeps_the_invariants(town: Any) -> None:
    params = {"gps_noise_m": 40.0, "gps_gap_share": 0.1}
    first, again, other = live(town, **params), live(town, **params), live(town, **params, seed=2)
    assert first.violations == other.violations == []
    assert sha256_of(first.events) == sha256_of(again.events)
    assert first.fleet.tracking.figures() == again.fleet.tracking.figures()
    assert sha256_of(first.events) != sha256_of(other.events)
    assert sha256_of(first.events) != sha256_of(live(town).events)
    assert first.fleet.tracking.figures()["pings_accepted"] > 1000


def test_a_driver_without_a_position_gets_no_offers(town: Any) -> None:
    outcome = live(town, gps_noise_m=400.0)
    assert not any(type(event).__name__ == "OfferSent" for event in outcome.events)


def test_a_ride_is_taken_back_from_a_driver_whose_phone_knows_no_position(town: Any) -> None:
    impatient = {"stale_after_s": 5.0, "silent_after_s": 10.0}
    outcome = live(town, gps_gap_share=0.4, dispatch_changes=impatient)
    reasons = [event.reason for event in outcome.events if isinstance(event, AssignmentCancelled)]
    assert SILENT in reasons
    assert outcome.violations == []


@pytest.mark.parametrize(
    "wrong", [{"noise_m": -1.0}, {"noise_s": 0.0}, {"gap_share": 1.0}, {"spike_share": float("nan")}]
)
def test_invalid_parameters_are_refused_on_construction(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GpsParams(**wrong)
