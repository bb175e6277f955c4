"""Builds the matching policy that a city's file names, with its position values."""

from __future__ import annotations

from pathlib import Path

from dispatch.matching.policy import MatchingPolicy
from dispatch.matching.position_value import PositionValue
from dispatch.matching.registry import make_policy
from dispatch.model import DispatchParams
from geo.roads.graph import RoadGraph
from hexhail.cities.learned_files import LearnedFiles


def city_policy(
    city_dir: Path, graph: RoadGraph, params: DispatchParams, learned: LearnedFiles | None = None
) -> MatchingPolicy:
    """Make the policy, with the position values in the city's folder if there are to be any.

    Values of other roads are set aside in ``learned``; without it they are an error.

    Raises ValueError, TypeError or FileNotFoundError, which say what is wrong with the policy or the values.
    """
    if not params.values:
        return make_policy(params.policy, graph, None)
    path = city_dir / params.values
    if learned is None:
        values: PositionValue | None = PositionValue.load(path, graph)
    else:
        values = learned.use(path, lambda: PositionValue.load(path, graph))
    return make_policy(params.policy, graph, values)
