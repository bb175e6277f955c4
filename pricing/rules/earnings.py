"""Who gets what of a fare: the driver, the platform and the tax office share it to the last minor unit."""

from __future__ import annotations

from dataclasses import dataclass

from pricing.model.quotes import Line, Receipt
from pricing.model.tariff import SHARE_UNITS, Tariff
from pricing.rules.fares import SURCHARGE, nearest

#: Lines that no driver earns on.
_NOT_DRIVERS = frozenset({"booking_fee", "tax", "rounding"})


@dataclass(frozen=True, slots=True)
class Earnings:
    """The parts of a fare. `driver_cents` + `platform_cents` + `tax_cents` are what the rider pays."""

    driver_cents: int
    #: What is left after the driver and the tax; below 0 where a bonus exceeds it.
    platform_cents: int
    tax_cents: int
    #: What the driver earned on: the rider's lines without tax, then "commission" and "bonus"; they add up.
    lines: tuple[Line, ...]


def bonus_cents(tariff: Tariff, surge_multiplier: float) -> int:
    """Return the additive surge of a cell: what any ride from there brings its driver on top, short or long.

    A bonus that grows with the ride makes short rides worth declining while prices are high (Garg and Nazerzadeh 2022,
    doi:10.1287/mnsc.2021.4058).
    """
    hundredths = max(round(surge_multiplier * 100) - 100, 0)
    return nearest(tariff.driver.surge_bonus_cents * hundredths, 100)


def split(tariff: Tariff, price_cents: int, receipt: Receipt) -> Earnings:
    """Return the parts of a fare under the tariff that its receipt names.

    The commission is taken of every line but those that pass to the driver in full. The platform pays the bonus, keeps
    the booking fee and bears the rounding.
    """
    passed_on = {SURCHARGE + entry.name for entry in tariff.surcharges if entry.is_drivers}
    untaxed = {SURCHARGE + entry.name for entry in tariff.surcharges if not entry.is_taxed}
    included = tariff.tax.share if tariff.tax is not None and tariff.tax.is_included else 0
    whole = SHARE_UNITS * (SHARE_UNITS + included)
    earned, earned_parts, commission = [], 0, 0
    for line in receipt.lines:
        if line.name in _NOT_DRIVERS:
            continue
        parts = line.cents * (whole if line.name in untaxed else SHARE_UNITS**2)
        # Of the sums, not of each: the lines without tax come to the sum without tax.
        cents = nearest(earned_parts + parts, whole) - nearest(earned_parts, whole)
        earned_parts += parts
        earned.append(Line(line.name, cents))
        commission += parts * _commission_share(tariff, line.name, passed_on)
    bonus = bonus_cents(tariff, receipt.surge_multiplier)
    lines = (*earned, Line("commission", -nearest(commission, whole * SHARE_UNITS)), Line("bonus", bonus))
    lines = tuple(line for line in lines if line.cents)
    driver_cents = sum(line.cents for line in lines)
    return Earnings(driver_cents, price_cents - driver_cents - receipt.tax_cents, receipt.tax_cents, lines)


def _commission_share(tariff: Tariff, line: str, passed_on: set[str]) -> int:
    if line in passed_on:
        return 0
    return tariff.driver.surge_commission_share if line == "surge" else tariff.driver.commission_share
