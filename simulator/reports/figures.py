"""Computes the key figures of a simulated day from its rides and drivers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dispatch.model import Ride, RideState
from geo.arrays import FloatArray
from simulator.day import Outcome, Sample


def figures_of(outcome: Outcome) -> dict[str, Any]:
    """Counts, waits and shares; they depend on the simulation alone, not on the machine.

    `deadhead_share` is the distance driven without a rider over all distance, `utilisation` the time with a rider
    aboard over the time on shift, up to the last event.
    """
    rides = outcome.virtual_dispatch.history.rides
    by_state = Counter(ride.state for ride in rides.values())
    odometer = outcome.fleet.odometer
    return {
        "requests": len(rides),
        "completed": by_state[RideState.COMPLETED],
        "cancelled": by_state[RideState.CANCELLED],
        "expired": by_state[RideState.EXPIRED],
        "service_rate": _share(by_state[RideState.COMPLETED], len(rides)),
        "pickup_wait_s": spread(pickup_waits_s(rides.values())),
        "deadhead_share": _share(odometer.deadhead_m, odometer.deadhead_m + odometer.occupied_m),
        "utilisation": _share(odometer.occupied_s, odometer.online_s),
        "income_gini": round(gini(incomes_cents(rides.values(), outcome.fleet.driver_id)), 4),
    }


def pickup_waits_s(rides: Iterable[Ride]) -> FloatArray:
    """Seconds from request to pickup, (n,), of all who were picked up."""
    return np.array([ride.picked_up_s - ride.requested_s for ride in rides if ride.picked_up_s is not None])


def incomes_cents(rides: Iterable[Ride], driver_ids: Iterable[str]) -> npt.NDArray[np.float64]:
    """The fares that each driver earned, (n,)."""
    earned = dict.fromkeys(driver_ids, 0)
    for ride in rides:
        if ride.state is RideState.COMPLETED and ride.driver_id is not None:
            earned[ride.driver_id] += ride.fare_cents
    return np.array(list(earned.values()), np.float64)


def empty_zone_share(samples: Sequence[Sample], weight: npt.NDArray[np.int64], until_s: float) -> float:
    """The share of moments in which a zone has no driver who waits for work, zones weighted by ``weight`` (c,)."""
    empty = [(sample.idle_per_cell == 0) @ weight for sample in samples if sample.at_s <= until_s]
    return float(np.mean(empty) / weight.sum())


def spread(values_s: FloatArray) -> dict[str, float | None]:
    """Mean, median and 95th percentile; all None for no value."""
    if not values_s.size:
        return {"mean": None, "p50": None, "p95": None}
    p50, p95 = np.percentile(values_s, [50, 95])
    return {"mean": round(float(values_s.mean()), 2), "p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def gini(values: npt.ArrayLike) -> float:
    """Gini's coefficient of numbers that are not negative: 0 if all are equal, towards 1 if one has everything.

    Raises ValueError for a negative number.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    if ordered.size and ordered[0] < 0:
        raise ValueError(f"Gini's coefficient needs numbers that are not negative, not {ordered[0]}")
    total = ordered.sum()
    if not total:
        return 0.0
    rank = np.arange(1, ordered.size + 1)
    return float(((2 * rank - ordered.size - 1) * ordered).sum() / (ordered.size * total))


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None
