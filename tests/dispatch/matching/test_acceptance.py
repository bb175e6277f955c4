"""The acceptance model: it starts at the prior, converges to the truth and measures its own calibration."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch import events as ev
from dispatch.matching.acceptance import (
    FEATURE_MAX,
    FEATURES,
    SHARE_MIN,
    AcceptanceModel,
    AcceptanceParams,
    OfferColumns,
    offer_features,
    probabilities,
)
from dispatch.matching.answers import OBSERVED_EVENTS, Answers, AnswersState
from dispatch.matching.calibration import Calibration, corrections
from dispatch.matching.histories import Histories
from dispatch.model import Party
from kernel.points import Place
from tests.dispatch.people import grid_city

PRIOR = AcceptanceParams().prior_share
ONE = np.zeros(1, np.int64)
BEGIN_S = 1e9


def offers(
    driver_id: str = "d",
    eta_s: Any = 120.0,
    refusals: Any = 0.0,
    trip_s: Any = 600.0,
    fare_cents: Any = 1000.0,
    at_s: float = BEGIN_S,
) -> Any:
    return OfferColumns((driver_id,), *(np.array([value]) for value in (eta_s, refusals, trip_s, fare_cents)), at_s)


def share_of(model: Any, **facts: Any) -> Any:
    return float(model.probability(model.features(offers(**facts), ONE))[0])


def logistic(z: Any) -> Any:
    return 1.0 / (1.0 + math.exp(-z))


def taught(truth: Any, *, answers: Any = 6000, seed: int = 1, spread: Any = 0.0, drivers: Any = 200) -> Any:
    """A model after so many offers to drivers who accept with the chance `truth(eta_s, own)`; and (said, true) of the
    second half of them."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0.0, spread, drivers)
    model, said = AcceptanceModel(), []
    for number in range(answers):
        at_s, eta_s, driver = BEGIN_S + 5.0 * number, float(rng.gamma(2.0, 100.0)), int(rng.integers(drivers))
        forecast = model.forecast(offers(f"d{driver}", eta_s, at_s=at_s))
        true = truth(eta_s, own[driver])
        if number >= answers // 2:
            said.append((forecast.share, true))
        model.observe(forecast, accepted=bool(rng.random() < true), at_s=at_s + 5.0)
    return model, np.array(said)


def test_an_untrained_model_predicts_the_prior_for_every_driver() -> None:
    model = AcceptanceModel()
    for facts in ({}, {"eta_s": 900.0, "refusals": 4.0}, {"driver_id": "other", "fare_cents": 9000.0, "at_s": 7.0}):
        assert share_of(model, **facts) == pytest.approx(PRIOR)
    assert model.figures().brier is None


def test_the_brier_score_approaches_the_best_possible_and_the_deciles_match() -> None:
    model, said = taught(lambda eta_s, own: logistic(2.5 - 1.5 * eta_s / 600.0))
    best = float((said[:, 1] * (1.0 - said[:, 1])).mean())
    # The Brier score exceeds the best possible by the mean squared error against the true probabilities.
    assert float(((said[:, 0] - said[:, 1]) ** 2).mean()) < 0.01 * best
    figures = model.figures()
    assert figures.answers == 6000
    assert figures.window == sum(decile.count for decile in figures.deciles) <= 4096 + 128
    assert figures.brier == pytest.approx(best, abs=0.02)
    assert figures.brier < figures.brier_of_mean
    # The standard error of a rate from four hundred answers is 0.02; three of them are beyond chance.
    assert max(abs(decile.predicted - decile.observed) for decile in figures.deciles) < 0.06
    assert model.theta["pickup_eta"] < -0.5


def test_calibration_corrects_a_truth_that_is_not_logistic() -> None:
    def cliff(eta_s: Any, own: Any) -> Any:
        return 0.95 if eta_s < 240.0 else 0.4

    model, said = taught(cliff)
    uncorrected = replace_knots(model)
    assert abs(share_of(model, eta_s=60.0) - 0.95) < 0.06
    assert abs(share_of(model, eta_s=500.0) - 0.4) < 0.15
    assert abs(share_of(model, eta_s=60.0) - 0.95) < abs(share_of(uncorrected, eta_s=60.0) - 0.95)
    assert float(((said[:, 0] - said[:, 1]) ** 2).mean()) < 0.02


def replace_knots(model: Any) -> Any:
    plain = Calibration().state()
    return AcceptanceModel(model.params, replace(model.state(), calibration=plain))


def test_drivers_who_decline_often_get_lower_probabilities() -> None:
    _, said = taught(lambda eta_s, own: logistic(1.5 + own), spread=1.5, drivers=50)
    assert np.corrcoef(said[:, 0], said[:, 1])[0, 1] > 0.8


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1.0, 0.0, 60.0]), min_size=5, max_size=5),
    st.sampled_from([math.nan, -math.inf, 0.3]),
    st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=8),
)
def test_any_input_gives_a_probability(columns: Any, usual: Any, theta: Any) -> None:
    x = offer_features(tuple(np.array([value]) for value in columns), usual, 0.5, 0.5)
    assert (np.abs(x) <= FEATURE_MAX).all()
    (share,) = probabilities(x, np.array(theta), np.array([0.2, 0.4]), np.array([-0.5, 0.9]))
    assert SHARE_MIN <= share <= 1.0 - SHARE_MIN


def test_the_kernel_equals_a_dot_product_and_a_table_lookup() -> None:
    rng = np.random.default_rng(1)
    x, theta = rng.normal(0, 1, (500, 8)), rng.normal(0, 0.5, 8)
    knot, correction = np.array([0.3, 0.5, 0.6]), np.array([0.1, -0.1, 0.05])
    plain = 1.0 / (1.0 + np.exp(-(x @ theta)))
    plain = np.clip(plain + np.interp(plain, knot, correction), SHARE_MIN, 1.0 - SHARE_MIN)
    np.testing.assert_allclose(probabilities(x, theta, knot, correction), plain)


def test_corrections_keep_the_order_of_forecasts() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        said = rng.choice(rng.random(20), 500)
        knot, correction = corrections(said, (rng.random(500) < rng.random()).astype(float))
        assert (np.diff(knot) > 0.0).all()
        assert (np.diff(knot + correction) >= -1e-12).all()


def test_a_history_is_a_beta_smoothed_rate_that_decays() -> None:
    histories = Histories(prior_share=0.8, prior_count=10.0, half_life_s=100.0)
    assert histories.shares(["new"], 0.0).tolist() == [0.8]
    for _ in range(4):
        histories.add("d", accepted=False, at_s=0.0)
    assert histories.shares(["d"], 0.0)[0] == pytest.approx(8.0 / 14.0)
    assert histories.shares(["d"], 100.0)[0] == pytest.approx(8.0 / 12.0)
    histories.add("other", accepted=True, at_s=1e6)
    assert list(histories.state()) == ["other"]


# -- from the log ------------------------------------------------------------------------------------------------------

CITY = grid_city(1, 5)
HERE, THERE = Place(40.0, -74.0, 0), Place(40.0, -73.996, 4)
COMMON = {"region_id": "r", "rider_id": "alice"}


def offer_sent(number: Any, ride_id: str = "ride", driver_id: str = "dora", eta_s: Any = 100.0) -> Any:
    return ev.OfferSent(
        ride_id=ride_id, sequence=2, at_s=BEGIN_S + number, offer_id=f"o{number}", driver_id=driver_id, token=number,
        expires_s=BEGIN_S + number + 15, pickup_eta_s=eta_s, pickup=HERE, dropoff=THERE, seats=1, fare_cents=900,
        currency="USD", **COMMON,
    )  # fmt: skip


def answer(kind: Any, number: Any, ride_id: str = "ride", driver_id: str = "dora") -> Any:
    extra = {ev.OfferAccepted: {"token": number, "pickup_eta_s": 1.0}, ev.OfferDeclined: {"reason": None}}.get(kind, {})
    return kind(
        ride_id=ride_id, sequence=3, at_s=BEGIN_S + number + 4, offer_id=f"o{number}", driver_id=driver_id,
        **extra, **COMMON,
    )  # fmt: skip


def a_log(count: int = 300, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    kinds = [ev.OfferAccepted, ev.OfferDeclined, ev.OfferExpired, ev.OfferWithdrawn]
    log = []
    for number in range(count):
        ride_id, driver_id = f"ride{number // 3}", f"d{rng.integers(9)}"
        log.append(offer_sent(number, ride_id, driver_id, float(rng.uniform(10, 900))))
        log.append(answer(kinds[rng.choice(4, p=[0.6, 0.2, 0.1, 0.1])], number, ride_id, driver_id))
    return log


def test_silence_is_learned_as_a_refusal_and_a_withdrawn_offer_is_ignored() -> None:
    for kind, learned in ((ev.OfferAccepted, 1), (ev.OfferDeclined, -1), (ev.OfferExpired, -1), (ev.OfferWithdrawn, 0)):
        answers = Answers(CITY)
        for number in range(20):
            answers.observe(offer_sent(number))
            answers.observe(answer(kind, number))
        share = share_of(answers.model, driver_id="dora", at_s=BEGIN_S + 20)
        assert np.sign(round(share - PRIOR, 6)) == learned
        assert answers.model.figures().answers == (20 if learned else 0)


def test_an_answer_is_learned_with_the_features_of_when_its_offer_was_sent() -> None:
    answers = Answers(CITY)
    answers.observe(offer_sent(1))
    answers.observe(answer(ev.OfferDeclined, 1))
    answers.observe(offer_sent(2, driver_id="dan"))
    forecast = answers.state().pending["o2"]
    x = dict(zip(FEATURES, forecast.x, strict=True))
    assert x["refusals"] == pytest.approx(1 / 5)
    assert x["pickup_eta"] == pytest.approx(100 / 600)
    assert x["history"] == 0.0  # Dan has never been asked


def test_an_answer_to_an_unknown_offer_is_ignored() -> None:
    answers = Answers(CITY)
    answers.observe(answer(ev.OfferAccepted, 1))
    assert answers.model.figures().answers == 0


@pytest.mark.parametrize("cut", [1, 200, 421])
def test_a_learner_restored_from_its_state_ends_like_one_that_never_stopped(cut: Any) -> None:
    log = a_log()
    whole = Answers(CITY)
    for event in log:
        whole.observe(event)
    first = Answers(CITY)
    for event in log[:cut]:
        first.observe(event)
    stored = msgspec.msgpack.encode(first.state())
    second = Answers(CITY, state=msgspec.msgpack.decode(stored, type=AnswersState))
    for event in log[cut:]:
        second.observe(event)
    assert second.state() == whole.state()


def test_a_ride_that_ends_is_forgotten() -> None:
    answers = Answers(CITY)
    answers.observe(offer_sent(1))
    answers.observe(answer(ev.OfferDeclined, 1))
    ended = ev.RideCancelled(
        ride_id="ride", sequence=4, at_s=BEGIN_S, by=Party.RIDER, reason=None, driver_id=None, **COMMON
    )
    answers.observe(ended)
    assert not answers.state().pending
    assert not answers.state().refusals
    assert type(ended) in OBSERVED_EVENTS


def test_a_state_of_another_version_or_shape_is_refused() -> None:
    state = Answers(CITY).state()
    with pytest.raises(ValueError, match="has version 0, this program reads 1"):
        Answers(CITY, state=replace(state, version=0))
    with pytest.raises(ValueError, match="has 2 coefficients, the model 8"):
        AcceptanceModel(state=replace(state.model, theta=(1.0, 2.0)))


@pytest.mark.parametrize("wrong", [{"prior_share": 1.0}, {"rate": 0.0}, {"history_half_life_s": math.inf}])
def test_invalid_parameters_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AcceptanceParams(**wrong)
