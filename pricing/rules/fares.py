"""What a trip costs, line by line.

Amounts are exact until they are rounded, in integer parts of a minor unit: the price is rounded once, from the exact
sum; each line by itself, to the nearest minor unit, halves up. What the two roundings make together is a line of its
own, so the lines add up to the price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pricing.model.quotes import Bill, Line
from pricing.model.surge import BASE_MULTIPLIER
from pricing.model.tariff import SHARE_UNITS, Surcharge, Tariff, Tax

#: Before the name of a surcharge, in the name of its line.
SURCHARGE = "surcharge:"
#: Parts of a minor unit, so that metres of a kilometre, seconds of a minute and shares of shares are whole.
PARTS = 3000 * SHARE_UNITS**2


def fare_cents(
    tariff: Tariff, distance_m: float, travel_time_s: float, surge_multiplier: float = BASE_MULTIPLIER
) -> int:
    """Return the price of a trip in minor units, without surcharges. Raises as `itemise` does."""
    return itemise(tariff, distance_m, travel_time_s, surge_multiplier).price_cents


def itemise(
    tariff: Tariff,
    distance_m: float,
    travel_time_s: float,
    surge_multiplier: float = BASE_MULTIPLIER,
    surcharges: Sequence[Surcharge] = (),
    *,
    waited_s: float = 0.0,
    at_most_cents: int | None = None,
) -> Bill:
    """Return the price of a trip and the lines that add up to it.

    Distance and times count in whole metres and seconds and the multiplier in hundredths, as they are shown. Base,
    distance and time come to the minimum at least; surge multiplies the lines that the tariff names, and does not
    undercut the minimum. ``at_most_cents`` caps the price: what is above it is taken off before tax.
    Raises ValueError if the distance or a time is negative or not finite, or the multiplier is not positive.
    """
    for name, value in (("distance_m", distance_m), ("travel_time_s", travel_time_s), ("waited_s", waited_s)):
        if not 0.0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, but is {value}")
    if not 0.0 < surge_multiplier < math.inf:
        raise ValueError(f"surge_multiplier must be a positive number, not {surge_multiplier}")
    parts = _metered(tariff, round(distance_m), round(travel_time_s))
    unsurged = sum(parts.values())
    parts["surge"] = _surge(tariff, parts, unsurged, round(surge_multiplier * 100))
    for entry in surcharges:
        parts[SURCHARGE + entry.name] = entry.amount_cents * PARTS + unsurged * entry.share // SHARE_UNITS
    untaxed = {SURCHARGE + entry.name for entry in surcharges if not entry.is_taxed}
    parts["booking_fee"] = tariff.booking_fee_cents * PARTS
    parts["waiting"] = _waiting(tariff, waited_s)
    return _billed(tariff, parts, untaxed, at_most_cents)


def fee(tariff: Tariff, name: str, amount_cents: int) -> Bill:
    """Return the bill of a single amount beside any trip, taxed and rounded as fares are."""
    return _billed(tariff, {name: amount_cents * PARTS}, set(), None)


def _metered(tariff: Tariff, distance_m: int, travel_time_s: int) -> dict[str, int]:
    parts = {
        "base": tariff.base_cents * PARTS,
        "distance": tariff.per_km_cents * distance_m * (PARTS // 1000),
        "time": tariff.per_minute_cents * travel_time_s * (PARTS // 60),
    }
    parts["minimum"] = max(tariff.minimum_cents * PARTS - sum(parts.values()), 0)
    return parts


def _surge(tariff: Tariff, parts: Mapping[str, int], unsurged: int, multiplier_hundredths: int) -> int:
    surge = (multiplier_hundredths - 100) * sum(parts[name] for name in tariff.surge_on) // 100
    return max(surge, tariff.minimum_cents * PARTS - unsurged)


def _waiting(tariff: Tariff, waited_s: float) -> int:
    if tariff.at_dropoff is None:
        return 0
    charged_s = max(0, round(waited_s - tariff.at_dropoff.waiting_free_s))
    return tariff.at_dropoff.waiting_per_minute_cents * charged_s * (PARTS // 60)


def _billed(tariff: Tariff, parts: dict[str, int], untaxed: set[str], at_most_cents: int | None) -> Bill:
    total, tax_cents = _total(tariff.tax, parts, untaxed)
    price_cents = _to_multiple(total, tariff.rounding_cents, tariff.rounding)
    if at_most_cents is not None and price_cents > at_most_cents:
        parts["cap"] = _before_tax(tariff.tax, at_most_cents * PARTS - total)
        _, tax_cents = _total(tariff.tax, parts, untaxed)
        price_cents = at_most_cents - at_most_cents % tariff.rounding_cents
    lines = [Line(name, nearest(amount, PARTS)) for name, amount in parts.items()]
    if tariff.tax is not None and not tariff.tax.is_included:
        lines.append(Line("tax", tax_cents))
    elif tariff.tax is not None and tariff.tax.rounded_per == "total":
        free_cents = sum(nearest(parts[name], PARTS) for name in untaxed)
        tax_cents = _included_cents(tariff.tax, price_cents - free_cents)
    lines.append(Line("rounding", price_cents - sum(line.cents for line in lines)))
    return Bill(price_cents, tuple(line for line in lines if line.cents), tax_cents)


def _total(tax: Tax | None, parts: Mapping[str, int], untaxed: set[str]) -> tuple[int, int]:
    """The exact sum, in parts, with the tax that is added to it; and the whole tax in minor units."""
    net = sum(parts.values())
    if tax is None:
        return net, 0
    taxed = [amount for name, amount in parts.items() if name not in untaxed]
    if tax.is_included:
        return net, sum(_included_cents(tax, nearest(amount, PARTS)) for amount in taxed)
    if tax.rounded_per == "line":
        cents = sum(nearest(nearest(amount, PARTS) * tax.share, SHARE_UNITS) for amount in taxed)
        return net + cents * PARTS, cents
    exact = sum(taxed) * tax.share // SHARE_UNITS
    return net + exact, nearest(exact, PARTS)


def _before_tax(tax: Tax | None, parts: int) -> int:
    """What to take off so that so much less is owed once tax is added."""
    if tax is None or tax.is_included:
        return parts
    return parts * SHARE_UNITS // (SHARE_UNITS + tax.share)


def _included_cents(tax: Tax, gross_cents: int) -> int:
    return nearest(gross_cents * tax.share, SHARE_UNITS + tax.share)


def nearest(numerator: int, denominator: int) -> int:
    """The whole number nearest to a fraction with a positive denominator, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _to_multiple(parts: int, unit_cents: int, rounding: str) -> int:
    unit = unit_cents * PARTS
    if rounding == "up":
        return -(-parts // unit) * unit_cents
    units = nearest(parts, unit)
    if rounding == "half_even" and units % 2 and 2 * parts == (2 * units - 1) * unit:
        units -= 1
    return units * unit_cents
