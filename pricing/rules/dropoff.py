"""The fare at the dropoff: the quote's price, unless the trip became another one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pricing.model.quotes import Receipt
from pricing.model.tariff import AtDropoff, Surcharge, Tariff
from pricing.rules.fares import SURCHARGE, itemise


class Change(StrEnum):
    """Why a fare differs from its quote."""

    DROPOFF = "dropoff"
    TIME = "time"
    WAITING = "waiting"
    CAP = "cap"


@dataclass(frozen=True, slots=True)
class OtherTrip:
    """The quickest way from the quoted pickup to where the rider really left, and what it owes on top."""

    distance_m: float
    surcharges: Sequence[Surcharge]


@dataclass(frozen=True, slots=True)
class Driven:
    """What became of a quoted trip."""

    #: From the pickup to the dropoff, seconds.
    travel_time_s: float
    #: From the driver's arrival to the pickup, seconds.
    waited_s: float
    #: None if the rider left where the quote says, or nobody said where.
    other_trip: OtherTrip | None = None


@dataclass(frozen=True, slots=True)
class DropoffTerms:
    """What the fare of a quoted trip is computed by, whenever the trip ends."""

    #: The version that the quote names; it has `at_dropoff`.
    tariff: Tariff
    #: See `Driven.other_trip`.
    other_trip: OtherTrip | None


def fare_at_dropoff(tariff: Tariff, price_cents: int, receipt: Receipt, driven: Driven) -> tuple[int, Receipt]:
    """Return the fare in minor units and how it came about; ``tariff`` is of the version that the receipt names.

    Nothing changed, and a tariff without `at_dropoff`: the quoted price and receipt. Otherwise the same tariff at the
    quote's surge and hour over what changed, but never more than the quote and its `above_quote_share_max`. A detour
    of the driver's is no change: another dropoff counts with the quickest way to it.
    """
    rules = tariff.at_dropoff
    changes = _changes(rules, receipt, driven) if rules is not None else []
    if rules is None or not changes:
        return price_cents, receipt
    names = {line.name for line in receipt.lines}
    surcharges: Sequence[Surcharge] = [entry for entry in tariff.surcharges if SURCHARGE + entry.name in names]
    distance_m, travel_time_s = receipt.distance_m, receipt.travel_time_s
    if driven.other_trip is not None:
        distance_m, surcharges = driven.other_trip.distance_m, driven.other_trip.surcharges
    if Change.DROPOFF in changes or Change.TIME in changes:
        travel_time_s = driven.travel_time_s
    at_most_cents = price_cents + math.floor(price_cents * rules.above_quote_share_max)
    bill = itemise(
        tariff,
        distance_m,
        travel_time_s,
        receipt.surge_multiplier,
        surcharges,
        waited_s=driven.waited_s,
        at_most_cents=at_most_cents,
    )
    if any(line.name == "cap" for line in bill.lines):
        changes.append(Change.CAP)
    computed = replace(
        receipt,
        distance_m=distance_m,
        travel_time_s=travel_time_s,
        lines=bill.lines,
        tax_cents=bill.tax_cents,
        changes=tuple(changes),
    )
    return bill.price_cents, computed


def _changes(rules: AtDropoff, receipt: Receipt, driven: Driven) -> list[Change]:
    changes = []
    if driven.other_trip is not None:
        changes.append(Change.DROPOFF)
    tolerance_s = max(rules.time_tolerance_share * receipt.travel_time_s, rules.time_tolerance_s)
    if abs(driven.travel_time_s - receipt.travel_time_s) > tolerance_s:
        changes.append(Change.TIME)
    if rules.waiting_per_minute_cents and driven.waited_s > rules.waiting_free_s:
        changes.append(Change.WAITING)
    return changes
