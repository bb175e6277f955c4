"""Builds the matching policy that a city's file names, with its position values."""

from __future__ import annotations

from pathlib import Path

from dispatch.matching.policy import MatchingPolicy
from dispatch.matching.position_value import PositionValue
from dispatch.matching.registry import make_policy
from dispatch.model import DispatchParams
from geo.roads.graph import RoadGraph


def city_policy(city_dir: Path, graph: RoadGraph, params: DispatchParams) -> MatchingPolicy:
    """Make the policy, with the position values in the city's folder if there are to be any.

    Raises ValueError, TypeError or FileNotFoundError, which say what is wrong with the policy or the values.
    """
    values = PositionValue.load(city_dir / params.values, graph) if params.values else None
    return make_policy(params.policy, graph, values)
