"""The environment by its registered name, from the files that `hexhail simulate` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import hexhail.gym
from benchmarks.simulator.city import _build, _drawn
from simulator.day_params import DayParams
from simulator.learning.environment import EnvParams


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("gym")
    data = _drawn(folder / "data", 30, 5)
    _build(data, folder / "city")
    return {"city": folder / "city", "requests": data / "requests.csv", "drivers": data / "drivers.csv"}


def test_it_is_made_by_name_and_lives_a_day(files: Any) -> None:
    env = gymnasium.make(hexhail.gym.ENV_ID, **files, day=DayParams(drain_s=300.0), params=EnvParams(step_s=600.0))
    seen, info = env.reset(seed=1)
    is_over, steps = False, 0
    while not is_over:
        assert env.observation_space.contains(seen)
        seen, reward, is_over, is_truncated, info = env.step(env.unwrapped.shipped_action)
        assert not is_truncated
        assert np.isfinite(reward)
        steps += 1
    assert steps > 3
    assert info["figures"]["requests"] > 0


def test_files_that_are_wrong_are_refused_as_everywhere(files: Any, tmp_path: Path) -> None:
    (tmp_path / "requests.csv").write_text("t_s,pickup_lat\n1,2\n")
    with pytest.raises(ValueError, match=r"requests\.csv"):
        hexhail.gym.make(files["city"], tmp_path / "requests.csv", files["drivers"])
