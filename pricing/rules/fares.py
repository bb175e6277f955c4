"""What a trip costs."""

from __future__ import annotations

import math

from pricing.model import BASE_MULTIPLIER, Tariff


def fare_cents(
    tariff: Tariff, distance_m: float, travel_time_s: float, surge_multiplier: float = BASE_MULTIPLIER
) -> int:
    """Return the price of a trip in minor units: the tariff times the multiplier, never below the minimum.

    Rounded once, at the end, to the nearest multiple of `rounding_cents`, halves up. The minimum is surged like any
    fare, but a multiplier below 1 does not undercut it.
    Raises ValueError if the distance or the time is negative or not finite, or the multiplier is not positive.
    """
    for name, value in (("distance_m", distance_m), ("travel_time_s", travel_time_s)):
        if not 0.0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, but is {value}")
    if not 0.0 < surge_multiplier < math.inf:
        raise ValueError(f"surge_multiplier must be a positive number, not {surge_multiplier}")
    metered_cents = (
        tariff.base_cents + tariff.per_km_cents * distance_m / 1000.0 + tariff.per_minute_cents * travel_time_s / 60.0
    )
    surged_cents = max(metered_cents, tariff.minimum_cents) * surge_multiplier
    rounded_cents = math.floor(surged_cents / tariff.rounding_cents + 0.5) * tariff.rounding_cents
    return max(rounded_cents, tariff.minimum_cents)
