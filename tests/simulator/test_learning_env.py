"""The Gymnasium environment: interface checks, equivalence with the simulated day, and the effect of actions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dispatch import events as ev
from dispatch.matching.optimal import OptimalPolicy
from dispatch.model import RideState
from simulator.day import Day
from simulator.day_params import Acceptance, DayParams
from simulator.learning.environment import CITY_FIGURES, ZONE_FIGURES, DispatchEnv, EnvParams
from simulator.learning.rewards import RewardParams, Tallies, Tally
from simulator.service.event_log import sha256_of
from tests.simulator.towns import crowded

#: Cells of some 170 m, so that the town of 400 m has zones.
ZONES = EnvParams(zone_resolution=10)


def make_env(town: Any, params: Any = ZONES, **inputs: Any) -> Any:
    people = crowded(town, **{"count": 60, "last_s": 400, **inputs})
    return DispatchEnv(people.city, people.requests, people.starts, DayParams(drain_s=600.0), params)


@pytest.fixture
def env(town: Any) -> Any:
    return make_env(town)


def live(env: Any, action: Any, seed: int = 7) -> Any:
    """One episode under one action: (rewards, infos, last observation)."""
    env.reset(seed=seed)
    rewards: list[float] = []
    infos: list[dict[str, Any]] = []
    while not infos or "figures" not in infos[-1]:
        seen, reward, _, _, info = env.step(action)
        rewards.append(reward)
        infos.append(info)
    return rewards, infos, seen


@pytest.mark.parametrize("is_resampled", [False, True])
def test_it_passes_the_checks_of_the_interface(town: Any, is_resampled: Any) -> None:
    check_env(make_env(town, replace(ZONES, is_resampled=is_resampled)), skip_render_check=True)


def test_under_the_shipped_action_it_is_the_day_that_is_simulated(town: Any, env: Any) -> None:
    env.reset(options={"day_seed": 3})
    while not env.step(env.shipped_action)[2]:
        pass
    people = crowded(town, count=60, last_s=400)
    params = DayParams(seed=3, drain_s=600.0)
    outcome = Day(people.city, people.requests, people.starts, OptimalPolicy(town), params).run()
    assert sha256_of(env.outcome.events) == sha256_of(outcome.events)
    assert env.outcome.violations == []


def test_the_same_seed_and_actions_are_the_same_day_and_another_seed_another(env: Any) -> None:
    def day(seed: int) -> Any:
        rng = np.random.default_rng(0)
        env.reset(seed=seed)
        steps: list[Any] = []
        while not steps or not steps[-1][2]:
            steps.append(env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)))
        return [step[0].tolist() for step in steps], [step[1] for step in steps], sha256_of(env.outcome.events)

    assert day(5) == day(5)
    assert day(5)[2] != day(6)[2]


def test_rounds_at_reach_zero_send_no_offer(env: Any) -> None:
    held = env.shipped_action.copy()
    held[0] = -1.0
    _, infos, _ = live(env, held)
    assert not any(isinstance(event, ev.OfferSent) for event in env.outcome.events)
    assert infos[-1]["figures"]["completed"] == 0


def test_a_shorter_reach_sends_nobody_farther(env: Any) -> None:
    near = env.shipped_action.copy()
    near[0] = -0.95
    live(env, near)
    sent = [event for event in env.outcome.events if isinstance(event, ev.OfferSent)]
    # Riders who were refused look farther, up to twice as far.
    assert sent
    assert max(event.pickup_eta_s for event in sent) <= 2 * 0.025 * env._day_params.dispatch({}).pickup_eta_s_max + 1e-6


def test_values_of_zones_change_who_drives_whom_and_equal_values_do_not(env: Any) -> None:
    def events(values: Any) -> Any:
        action = env.shipped_action.copy()
        action[1:] = values
        live(env, action)
        return sha256_of(env.outcome.events)

    assert len(env.zones) > 3
    plain = events(0.0)
    assert events(0.7) == plain
    assert events(np.linspace(-1.0, 1.0, len(env.zones))) != plain


def test_rewards_add_up_to_the_fares_and_waits_of_the_day(env: Any) -> None:
    rewards, infos, _ = live(env, env.shipped_action)
    rides = env.outcome.virtual_dispatch.history.rides.values()
    aboard = [ride for ride in rides if ride.picked_up_s is not None]
    assert sum(info["requests"] for info in infos) == len(rides)
    assert sum(info["picked_up"] for info in infos) == len(aboard)
    assert sum(info["picked_up"] + info["lost"] for info in infos) == len(rides)
    fares_cents = sum(ride.fare_cents for ride in aboard)
    waited_s = sum(info["waited_s"] for info in infos)
    assert waited_s >= sum(ride.picked_up_s - ride.requested_s for ride in aboard)
    assert sum(rewards) == pytest.approx((fares_cents - RewardParams().waited_cents_per_s * waited_s) / 100.0)
    assert any(ride.state is RideState.COMPLETED for ride in rides)


def test_every_observed_feature_has_a_name_and_the_value_it_names(env: Any) -> None:
    seen, _ = env.reset(seed=1)
    figures = dict(zip(env.observation_names, seen.tolist(), strict=True))
    assert len(figures) == len(ZONE_FIGURES) * len(env.zones) + len(CITY_FIGURES)
    assert sum(value for name, value in figures.items() if name.startswith("idle ")) == pytest.approx(1.0)
    assert (figures["idle"], figures["aboard"], figures["over"]) == (1.0, 0.0, 0.0)
    for _ in range(4):
        seen, *_ = env.step(env.shipped_action)
    later = dict(zip(env.observation_names, seen.tolist(), strict=True))
    assert later["aboard"] > 0.0
    assert sum(value for name, value in later.items() if re.match("free_soon ", name)) <= later["aboard"] + 1e-6
    assert 0.0 < later["over"] < 1.0


def test_steps_out_of_turn_and_wrong_actions_are_refused_with_the_reason(env: Any) -> None:
    with pytest.raises(RuntimeError, match="call reset first"):
        env.step(env.shipped_action)
    env.reset(seed=1)
    with pytest.raises(ValueError, match="numbers from -1 to 1"):
        env.step(env.shipped_action * 2)
    with pytest.raises(ValueError, match="numbers from -1 to 1"):
        env.step(np.full_like(env.shipped_action, np.nan))
    live(env, env.shipped_action)
    with pytest.raises(RuntimeError, match="call reset first"):
        env.step(env.shipped_action)


@pytest.mark.parametrize(
    ("params", "wrong"),
    [(EnvParams, {"step_s": 0.0}), (EnvParams, {"zone_resolution": 16}), (RewardParams, {"lost_cents": float("nan")})],
)
def test_invalid_parameters_are_refused_on_construction(params: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        params(**wrong)


def test_a_wait_over_several_steps_is_counted_once() -> None:
    asked = {"region_id": "town", "rider_id": "p", "quote_id": "q", "pickup": None, "dropoff": None, "seats": 1}
    request = ev.RideRequested(ride_id="r", sequence=1, at_s=10.0, fare_cents=900, currency="USD", **asked)
    pickup = ev.RiderPickedUp(ride_id="r", sequence=5, at_s=130.0, region_id="town", rider_id="p", driver_id="d")
    tallies = Tallies()
    found = [tallies.take([request], 60.0), tallies.take([], 120.0), tallies.take([pickup], 180.0)]
    assert [tally.waited_s for tally in found] == [50.0, 60.0, 10.0]
    assert found[2] == Tally(picked_up=1, fares_cents=900, waited_s=10.0)
    assert found[2].reward(RewardParams(waited_cents_per_s=1.0), "USD") == pytest.approx(8.9)
    assert found[2].reward(RewardParams(waited_cents_per_s=1.0), "JPY") == pytest.approx(890.0)


def test_with_fixed_patience_riders_most_requests_are_served(town: Any) -> None:
    people = crowded(town, count=30, last_s=200)
    day = DayParams(acceptance=Acceptance.ALWAYS, is_surge_on=False)
    env = DispatchEnv(people.city, people.requests, people.starts, day, ZONES)
    _, infos, _ = live(env, env.shipped_action)
    assert infos[-1]["figures"]["service_rate"] > 0.9
