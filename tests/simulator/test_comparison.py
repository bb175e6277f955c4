"""Differences between arms: unbiased, with intervals of nominal coverage."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dispatch.matching.greedy import NearestPolicy
from hexhail.runs.arms import Arm, parse_arm, parse_arms
from hexhail.runs.compare import Plan, compared, simulate_day
from hexhail.runs.compare_page import compare_html, shown_difference
from simulator.day_params import Acceptance, DayParams
from simulator.demand.resample import JITTER_S, resampled
from simulator.experiments.comparison import Difference, clustered, paired
from simulator.experiments.switchback import SwitchbackParams, SwitchbackSchedule, SwitchingPolicy
from tests.simulator.towns import crowded

#: Everybody says yes: days that cost little, and differ by their demand alone.
CALM = DayParams(is_surge_on=False, acceptance=Acceptance.ALWAYS)


def plan(*arms: Arm, seeds: int = 1, **more: Any) -> Plan:
    return Plan(None, None, None, arms, tuple(range(1, seeds + 1)), **more)


def lived(wanted: Plan, inputs: Any) -> Any:
    results = [simulate_day(wanted, inputs, arm, seed) for arm, seed in wanted.days()]
    return compared(wanted, results, inputs.city.region.currency)


# -- statistics ----------------------------------------------------------------------------------------------------


def test_paired_intervals_agree_with_students_t() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(size=12)
    second = first + rng.normal(0.4, 0.3, 12)
    found = paired(first, second)
    expected = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx(((second - first).mean(), *expected))
    assert found.is_clear


def test_pairs_without_a_value_are_left_out_and_one_pair_has_no_interval() -> None:
    found = paired([1.0, math.nan, 2.0], [2.0, 5.0, math.nan])
    assert (found.n, found.mean, math.isnan(found.low)) == (1, 1.0, True)
    assert not paired([1.0], [2.0]).is_clear
    assert math.isnan(paired([], []).mean)
    with pytest.raises(ValueError, match="one length"):
        paired([1.0], [1.0, 2.0])


def test_intervals_of_equal_clusters_agree_with_welchs_test() -> None:
    """Then CR2 with Satterthwaite's degrees of freedom is Welch's test."""
    rng = np.random.default_rng(4)
    arm, count = np.array([0, 1, 1, 0, 0, 1, 1]), np.full(7, 5.0)
    means = rng.normal(10.0, 2.0, 7)
    found = clustered(arm, count, count * means)
    expected = stats.ttest_ind(means[arm == 1], means[arm == 0], equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("effect", [0.0, 2.0])
def test_intervals_of_unequal_clusters_have_their_nominal_coverage(effect: Any) -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(1_000):
        arm = rng.permutation(np.arange(16) % 2)
        count = rng.integers(5, 60, 16)
        weather = rng.normal(0.0, 3.0, 16)
        total = [
            float(rng.normal(30.0 + w + effect * a, 10.0, n).sum()) for a, n, w in zip(arm, count, weather, strict=True)
        ]
        found = clustered(arm, count, total)
        held += found.low <= effect <= found.high
    assert 0.92 <= held / 1_000 <= 0.975


def test_empty_and_single_clusters_give_no_interval() -> None:
    assert math.isnan(clustered(np.array([0, 1]), [5, 5], [10.0, 20.0]).low)
    assert math.isnan(clustered(np.array([0, 0, 1]), [5, 5, 0], [10.0, 20.0, 0.0]).mean)


# -- days ----------------------------------------------------------------------------------------------------------


def test_an_arm_against_itself_differs_in_nothing(town: Any) -> None:
    arms = parse_arms(["optimal", "optimal"], replace(CALM, acceptance=Acceptance.MODEL))
    assert [arm.name for arm in arms] == ["optimal (1)", "optimal (2)"]
    found = lived(plan(*arms, seeds=3), crowded(town, count=60))
    for (difference,) in found.differences.values():
        assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert not found.has_no_spread


def test_more_patience_serves_more_of_the_same_riders(town: Any) -> None:
    arms = [parse_arm(text, CALM) for text in ("optimal:max_wait_s=30", "optimal")]
    found = lived(plan(*arms, seeds=3, is_resampled=True), crowded(town, count=120, drivers=4))
    served = found.differences["service_rate"][0]
    assert served.mean > 0.02
    values = found.by_seed["service_rate"]
    assert np.mean(values[1]) - np.mean(values[0]) == pytest.approx(served.mean)
    page = compare_html(found)
    assert "optimal:max_wait_s=30" in page
    assert "src=" not in page
    assert "nan" not in page


def test_fixed_patience_on_the_same_demand_has_no_spread_and_is_reported(town: Any) -> None:
    arms = parse_arms(["optimal", "nearest"], CALM)
    assert lived(plan(*arms, seeds=2), crowded(town, count=40)).has_no_spread


def test_a_switchback_of_a_policy_with_itself_has_its_nominal_false_positive_rate(town: Any) -> None:
    """An A/A run: 95 of 100 intervals hold zero; of 30 experiments, 26 or more do with probability 0.98."""
    arms = parse_arms(["optimal", "optimal"], CALM)
    inputs = crowded(town, count=160, last_s=1500, drivers=6)
    held = []
    for seed in range(1, 31):
        wanted = Plan(
            None, None, None, tuple(arms), (seed,), is_resampled=True, switchback=SwitchbackParams(100.0, 20.0)
        )
        (wait,) = lived(wanted, inputs).differences["wait_s_mean"]
        held.append(wait.low <= 0.0 <= wait.high)
    assert sum(held) >= 26


def test_a_switchback_tells_a_bad_policy_from_a_good_one(town: Any, tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text(
        "class Policy:\n    def __init__(self, graph): pass\n    def match(self, *round): return []\n"
    )
    arms = parse_arms(["optimal", f"{tmp_path}/idle.py:Policy"], CALM)
    wanted = plan(*arms, seeds=3, is_resampled=True, switchback=SwitchbackParams(100.0, 20.0))
    (wait,) = lived(wanted, crowded(town, count=160, last_s=1500, drivers=12)).differences["wait_s_mean"]
    assert wait.low > 20.0


def test_the_switchback_schedule_is_balanced_random_and_excludes_the_burn_in() -> None:
    turns = SwitchbackSchedule.draw(SwitchbackParams(100.0, 30.0), 1_000.0, 2_000.0, seed=1)
    assert len(turns.arm) == 11
    assert abs(int(turns.arm.sum()) - 5.5) == 0.5
    drawn = {tuple(SwitchbackSchedule.draw(turns.params, 1_000.0, 2_000.0, seed).arm.tolist()) for seed in range(5)}
    assert len(drawn) > 1
    fixed = replace(turns, arm=np.array([0, 0, 1, 1]))
    counted = [fixed.is_counted(1_000.0 + at_s) for at_s in (0, 29, 30, 100, 200, 229, 230, 300)]
    assert counted == [False, False, True, True, False, False, True, True]
    assert [fixed.interval(at_s) for at_s in (900.0, 1_000.0, 1_250.0, 9_999.0)] == [0, 0, 2, 3]


def test_invalid_switchbacks_are_refused(town: Any) -> None:
    with pytest.raises(ValueError, match="shorter than the interval"):
        SwitchbackParams(100.0, 100.0)
    with pytest.raises(ValueError, match="needs 4 or more"):
        SwitchbackSchedule.draw(SwitchbackParams(600.0), 0.0, 900.0, seed=1)
    with pytest.raises(ValueError, match="differ only in the policy"):
        plan(*parse_arms(["optimal", "optimal:surge=on"], CALM), switchback=SwitchbackParams(60.0))
    with pytest.raises(ValueError, match="not 1"):
        SwitchingPolicy([NearestPolicy(town)], SwitchbackSchedule.draw(SwitchbackParams(10.0), 0.0, 100.0, 1))


# -- what goes in --------------------------------------------------------------------------------------------------


def test_resampled_days_differ_by_seed_and_are_alike_in_all_that_matters(town: Any) -> None:
    recorded = crowded(town, count=2_000, last_s=3_600).requests
    days = [resampled(recorded, seed) for seed in (1, 1, 2)]
    assert np.array_equal(days[0].asked.t_s, days[1].asked.t_s)
    assert not np.array_equal(days[0].pickup_node[:50], days[2].pickup_node[:50])
    for day in days:
        assert abs(len(day) - 2_000) < 4 * math.sqrt(2_000)
        assert recorded.asked.t_s[0] <= day.asked.t_s[0] <= day.asked.t_s[-1] <= recorded.asked.t_s[-1]
        assert np.array_equal(town.lat_deg[day.pickup_node], day.asked.pickup_deg[:, 0])
        assert (day.pickup_node != day.dropoff_node).all()
    assert JITTER_S < 900.0


def test_arms_are_parsed_from_text_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('policy = "own.py:Policy"\nsurge = true\nbatch_window_s = 5\n')
    arm = parse_arm(f"{tmp_path}/mine.toml", CALM)
    assert arm.policy == f"{tmp_path}/own.py:Policy"
    assert arm.params == replace(CALM, is_surge_on=True, batch_window_s=5.0)
    arm = parse_arm("own.py:Policy:candidates_per_request=5,acceptance=model", CALM)
    assert (arm.policy, arm.params.acceptance) == ("own.py:Policy", Acceptance.MODEL)
    assert arm.params.dispatch({}).candidates_per_request == 5
    assert parse_arm("own.py:Policy", CALM).policy == "own.py:Policy"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimal:speed=3", "there is no parameter 'speed'; there are: acceptance, batch_window_s"),
        ("optimal:seed=3", "there is no parameter 'seed'"),
        ("optimal:max_wait_s=long", "max_wait_s must be a number, not 'long'"),
        ("optimal:max_wait_s=-1", "max_wait_s must be a positive number"),
        ("optimal:max_wait_s=1,surge", "'surge' is not of the form key=value"),
        ("optimal:surge=yes", "surge must be on or off"),
        ("nowhere.toml", "No such file"),
    ],
)
def test_a_wrong_arm_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"arm '{text}': .*{message}"):
        parse_arm(text, CALM)


@pytest.mark.parametrize(
    ("difference", "unit", "text"),
    [
        (Difference(0.0123, -0.001, 0.0256, 9), "%", "+1.23 points [-0.10, +2.56]"),
        (Difference(-71.7, -88.7, -54.8, 9), "s", "-71.7 s [-88.7, -54.8]"),
        (Difference(1234.5, math.nan, math.nan, 1), "", "+1,234 (no interval)"),
        (Difference(math.nan, math.nan, math.nan, 0), "s", "none"),
    ],
)
def test_differences_are_formatted_with_units_and_intervals(difference: Any, unit: Any, text: str) -> None:
    assert shown_difference(difference, unit) == text
