"""Policies by name: built-in ones, and classes from a module or file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from dispatch.matching.expected import ExpectedPolicy
from dispatch.matching.greedy import GreedyPolicy, NearestPolicy
from dispatch.matching.optimal import OptimalPolicy
from dispatch.matching.policy import MatchingPolicy, PairPolicy
from dispatch.matching.position_value import PositionValue
from geo.roads.graph import RoadGraph

POLICIES: dict[str, type[PairPolicy]] = {
    policy.name: policy for policy in (OptimalPolicy, ExpectedPolicy, GreedyPolicy, NearestPolicy)
}


def make_policy(name: str, graph: RoadGraph, values: PositionValue | None = None) -> MatchingPolicy:
    """A policy by name, see `POLICIES`, or a class of one's own as `module:Class` or `file.py:Class`.

    Ours may be given position values to score with; a class of one's own is called with the road graph alone. Raises
    ValueError or TypeError, which say what is wrong with the name or with what stands behind it.
    """
    if name in POLICIES and (values is None or POLICIES[name].heeds_score):
        return POLICIES[name](graph, position_value=values)
    if values is not None:
        raise ValueError(f"policy {name!r} has no use for position values: leave them out, or choose another")
    place, colon, class_name = name.rpartition(":")
    if not colon or not place:
        known = ", ".join(sorted(POLICIES))
        raise ValueError(f"there is no policy {name!r}: choose {known}, module:Class or file.py:Class")
    try:
        policy_type = getattr(_module(place), class_name)
    except Exception as error:  # the file is not ours: it may raise anything
        raise ValueError(f"policy {name!r} cannot be loaded: {_said(error)}") from error
    try:
        policy: MatchingPolicy = policy_type(graph)
    except Exception as error:
        raise ValueError(f"policy {name!r} cannot be made of a road graph: {_said(error)}") from error
    if not callable(getattr(policy, "match", None)):
        raise TypeError(f"policy {name!r} has no method match(waiting, supply, params, now_s)")
    return policy


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    spec = importlib.util.spec_from_file_location(f"policy file {Path(place).resolve()}", place)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name. A name that no import statement can say replaces nobody else's.
    sys.modules[f"policy file {Path(place).resolve()}"] = module
    spec.loader.exec_module(module)
    return module


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
