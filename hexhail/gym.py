"""The Gymnasium environment from files: importing this registers `hexhail/Dispatch-v0`. Needs `hexhail[gym]`."""

from __future__ import annotations

from pathlib import Path

import gymnasium

from hexhail.runs.simulate import read_inputs
from simulator.day_params import DayParams
from simulator.learning.environment import DispatchEnv, EnvParams

ENV_ID = "hexhail/Dispatch-v0"


def make(
    city: Path | str,
    requests: Path | str,
    drivers: Path | str,
    day: DayParams | None = None,
    params: EnvParams | None = None,
) -> DispatchEnv:
    """The environment of a city folder and the files that `hexhail simulate` takes.

    Raises ValueError or FileNotFoundError that names file, line and reason.
    """
    inputs = read_inputs(Path(city), Path(requests), Path(drivers), skip_bad=False)
    return DispatchEnv(inputs.city, inputs.requests, inputs.starts, day, params)


if ENV_ID not in gymnasium.registry:
    gymnasium.register(id=ENV_ID, entry_point="hexhail.gym:make")
