"""What weights must pass before they are put in force. Each check stands on its own: it trusts nothing before it."""

from __future__ import annotations

import numpy as np

from geo.arrays import FloatArray
from traffic.model import Candidate, LearnedTrafficParams, Refusal
from traffic.rules.proposal import mean_by_length

#: Rounding: factors travel as 32-bit numbers.
_SLACK = 1e-5


def refusal_of(candidate: Candidate, length_m: FloatArray, params: LearnedTrafficParams) -> Refusal | None:
    """Return why the candidate must not come into force; None if it may. ``length_m (m,)`` are those of the edges."""
    evidence = candidate.evidence
    if evidence.drivers < params.region_drivers_min:
        return Refusal.COVERAGE
    if not _is_within_bounds(candidate.factor, params):
        return Refusal.BOUNDS
    if not 1.0 / params.region_faster_max <= evidence.pace <= params.region_slower_max:
        return Refusal.REGION_PACE
    if not _is_small_change(candidate, length_m, params):
        return Refusal.CHANGE
    before, after = evidence.error_in_force, evidence.error_candidate
    if before is None or after is None or not after <= before * (1.0 + params.held_back_slack):
        return Refusal.HELD_BACK
    return None


def _is_within_bounds(factor: FloatArray, params: LearnedTrafficParams) -> bool:
    low, high = 1.0 / params.faster_max, params.slower_max
    is_within = (factor >= low * (1.0 - _SLACK)) & (factor <= high * (1.0 + _SLACK))
    return bool(is_within.all())


def _is_small_change(candidate: Candidate, length_m: FloatArray, params: LearnedTrafficParams) -> bool:
    change = np.abs(np.log(candidate.factor / candidate.in_force))
    return bool(
        change.max(initial=0.0) <= np.log(params.edge_change_max) + _SLACK
        and mean_by_length(change, length_m) <= np.log(params.region_change_max) + _SLACK
    )
