"""Parses the arms of a comparison: a policy with optional parameters, or a TOML file that holds both."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from dispatch.model import DispatchParams
from dispatch.weights import ScoreWeights
from simulator.day_params import Acceptance, DayParams

#: The public name of a day's parameter, where it differs from the name in the code.
_PUBLIC_NAME = {"is_surge_on": "surge"}
_NOT_AN_ARM = ("seed", "dispatch_changes")


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: a name for the tables, a policy and the parameters of its days (without the seed)."""

    name: str
    policy: str
    params: DayParams


def parse_arm(text: str, defaults: DayParams) -> Arm:
    """Read `optimal`, `file.py:Class`, `optimal:batch_window_s=5,surge=off` or `settings.toml`.

    Parameters are those of a day (`acceptance`, `surge`, …), the keys of `[dispatch]` (`max_wait_s`,
    `candidates_per_request`, …) and the weights of `[dispatch.score]` as `score.idle`. What an arm does not set
    is taken from the city's file. Raises ValueError that names the arm and what is wrong with it.
    """
    try:
        policy, changes = _from_file(Path(text)) if text.endswith(".toml") else _from_words(text)
        return Arm(text, policy, _changed(defaults, changes))
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"arm {text!r}: {error}") from error


def parse_arms(texts: list[str], defaults: DayParams) -> list[Arm]:
    """Read two or more arms. Equal arms, as in an A/A test, get a number in their names."""
    if len(texts) < 2:
        raise ValueError("a comparison needs two arms or more, such as: optimal greedy")
    arms = [parse_arm(text, defaults) for text in texts]
    return [
        replace(arm, name=f"{arm.name} ({texts[: at + 1].count(arm.name)})") if texts.count(arm.name) > 1 else arm
        for at, arm in enumerate(arms)
    ]


def _from_words(text: str) -> tuple[str, dict[str, str]]:
    policy, colon, last = text.rpartition(":")
    if not colon or "=" not in last:
        return text, {}
    changes = {}
    for change in last.split(","):
        key, equals, value = change.partition("=")
        if not (key and equals and value):
            raise ValueError(f"{change!r} is not of the form key=value")
        changes[key.strip()] = value.strip()
    return policy, changes


def _from_file(path: Path) -> tuple[str, dict[str, str]]:
    """Read a settings file. The path of a policy is relative to its folder, so that both can be kept together."""
    try:
        settings: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is not valid TOML: {error}") from error
    policy = str(settings.pop("policy", "optimal"))
    place, colon, class_name = policy.rpartition(":")
    if colon and place.endswith(".py"):
        policy = f"{path.parent / place}:{class_name}"
    score = {f"score.{key}": value for key, value in settings.pop("score", {}).items()}
    return policy, {key: _written(value) for key, value in (settings | score).items()}


def _written(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _changed(defaults: DayParams, changes: Mapping[str, str]) -> DayParams:
    of_day = {_PUBLIC_NAME.get(field.name, field.name): field.name for field in fields(DayParams)}
    of_day = {written: name for written, name in of_day.items() if name not in _NOT_AN_ARM}
    dispatch_defaults = {field.name: getattr(DispatchParams(), field.name) for field in fields(DispatchParams)}
    weights = {f"score.{field.name}": getattr(ScoreWeights(), field.name) for field in fields(ScoreWeights)}
    of_dispatch = dispatch_defaults.keys() - of_day.keys() - {"policy", "values", "score"}
    day: dict[str, Any] = {}
    dispatch: dict[str, Any] = {}
    score: dict[str, float] = dict(defaults.dispatch_changes.get("score", {}))
    for key, text in changes.items():
        if key in of_day:
            default = getattr(defaults, of_day[key])
            day[of_day[key]] = _read(key, text, dispatch_defaults[key] if default is None else default)
        elif key in of_dispatch:
            dispatch[key] = _read(key, text, dispatch_defaults[key])
        elif key in weights:
            score[key.removeprefix("score.")] = _read(key, text, weights[key])
        else:
            known = ", ".join(sorted(of_day.keys() | of_dispatch | weights.keys()))
            raise ValueError(f"there is no parameter {key!r}; there are: {known}")
    if score:
        dispatch["score"] = score
    return replace(defaults, dispatch_changes={**defaults.dispatch_changes, **dispatch}, **day)


def _read(key: str, text: str, like: object) -> Any:
    """Parse the text as the type of `like`."""
    if isinstance(like, bool):
        if text not in ("on", "off"):
            raise ValueError(f"{key} must be on or off, not {text!r}")
        return text == "on"
    if isinstance(like, Acceptance):
        return Acceptance(text)
    try:
        return type(like)(text)  # type: ignore[call-arg]  # an int, a float or a text
    except ValueError as error:
        raise ValueError(f"{key} must be a number, not {text!r}") from error
