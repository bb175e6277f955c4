"""A simulated day uses the parameters of the city's file; options of the run override them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dispatch import events as ev
from dispatch.matching.policy import LearningPolicy
from hexhail.runs.arms import parse_arm
from hexhail.runs.simulate import Inputs, policy_of, simulate
from kernel.section_reader import ParamsRefused
from simulator.day import Day, Outcome
from simulator.day_params import Acceptance, DayParams
from tests.simulator.towns import crowded

CALM = DayParams(is_surge_on=False, acceptance=Acceptance.ALWAYS)


@pytest.fixture
def inputs(town: Any) -> Any:
    return crowded(town, count=40)


def with_sections(inputs: Inputs, **sections: Any) -> Inputs:
    return replace(inputs, city=replace(inputs.city, sections={**inputs.city.sections, **sections}))


def lived(inputs: Inputs, params: DayParams = CALM) -> Outcome:
    return Day(inputs.city, inputs.requests, inputs.starts, policy_of(inputs, params, "optimal"), params).run()


def test_the_section_of_dispatch_holds_and_the_day_overrides_it(inputs: Any) -> None:
    slow = with_sections(inputs, dispatch={"batch_window_s": 30.0})
    first_offers_s = [
        next(event.at_s for event in lived(one).events if isinstance(event, ev.OfferSent)) for one in (inputs, slow)
    ]
    assert first_offers_s[1] - first_offers_s[0] == pytest.approx(28.0)
    told = lived(slow, replace(CALM, batch_window_s=2.0))
    assert told.events == lived(inputs).events


def test_weights_of_the_score_come_from_the_file_and_can_be_set_in_a_comparison(inputs: Any) -> None:
    weighted = with_sections(inputs, dispatch={"score": {"idle": 0.5}})
    arm = parse_arm("optimal:score.idle=0.5,score.waited=1", CALM)
    assert lived(inputs, arm.params).events == lived(weighted).events
    assert arm.params.dispatch({}).score.idle == 0.5
    # What the arm does not say stays as the file says.
    assert arm.params.dispatch({"dispatch": {"score": {"aboard": 3.0}}}).score.aboard == 3.0
    with pytest.raises(ValueError, match=r"score.idle must be a number"):
        parse_arm("optimal:score.idle=much", CALM)


def test_the_policy_of_the_file_is_used_unless_another_is_asked_for(inputs: Any) -> None:
    expecting = with_sections(inputs, dispatch={"policy": "expected"})
    assert simulate(expecting, CALM).summary["policy"] == "expected"
    assert simulate(expecting, CALM, "greedy").summary["policy"] == "greedy"
    assert isinstance(policy_of(expecting, CALM, "expected"), LearningPolicy)


def test_fares_have_the_surcharges_of_the_tariff(inputs: Any) -> None:
    tariff = inputs.city.sections["tariff"] | {"surcharges": [{"name": "night", "amount_cents": 250}]}
    plain, dear = lived(inputs), lived(with_sections(inputs, tariff=tariff))
    fares = [
        [event.fare_cents for event in outcome.events if isinstance(event, ev.RideRequested)]
        for outcome in (plain, dear)
    ]
    assert [more - less for less, more in zip(*fares, strict=True)] == [250] * len(fares[0])


def test_a_wrong_section_ends_the_run_before_it_begins(inputs: Any) -> None:
    with pytest.raises(ParamsRefused, match="max_wait_s"):
        lived(with_sections(inputs, dispatch={"max_wait_s": "long"}))
