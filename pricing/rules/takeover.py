"""The prices that a new pricer of a region goes on from."""

from __future__ import annotations

from pricing.model.surge import RecordedPrice, SurgeParams, SurgePrice
from pricing.rules.surge import aged_multiplier

#: Published prices hold their time in milliseconds.
_ROUNDING_S = 0.001
#: Clocks of hosts may differ by so much; a greater distance is a clock that was set anew, as by a demo of the same day.
CLOCKS_APART_S_MAX = 5.0


def resumed_multiplier(
    recorded: RecordedPrice | None, published: SurgePrice, now_s: float, params: SurgeParams
) -> float:
    """Return the multiplier of a cell to go on from at city time ``now_s``.

    A change is recorded before it is published. So a published price that is older than the record was never
    published in its newest form, or was lost by the store: then the recorded one counts, faded by its age.
    """
    if recorded is None:
        return published.multiplier
    if published.updated_s is not None and published.updated_s >= recorded.at_s - _ROUNDING_S:
        return published.multiplier
    return aged_multiplier(recorded.multiplier, now_s - recorded.at_s, params)


def moment_after(recorded_to_s: float, now_s: float) -> float:
    """Return ``now_s``, or a moment after ``recorded_to_s`` where the clock of the pricer before was slightly ahead."""
    return recorded_to_s + _ROUNDING_S if 0.0 <= recorded_to_s - now_s <= CLOCKS_APART_S_MAX else now_s
