"""What a rider owes who did not come to the pickup."""

from __future__ import annotations

from dataclasses import replace

from pricing.model.quotes import Bill, Receipt
from pricing.model.surge import BASE_MULTIPLIER
from pricing.model.tariff import NoShow, Tariff
from pricing.rules.fares import fee

#: The name of the only line, and of the change in the receipt.
NO_SHOW = "no_show"


def no_show_of(tariff: Tariff | None) -> NoShow:
    """The tariff's rules for no-shows; the usual ones, which cost nothing, where it has none or nobody kept it."""
    return tariff.no_show if tariff is not None and tariff.no_show is not None else NoShow()


def no_show_fee(tariff: Tariff) -> Bill:
    """The bill of a rider who did not come: the tariff's fee, taxed and rounded as fares are."""
    return fee(tariff, NO_SHOW, no_show_of(tariff).fee_cents)


def no_show_fare(tariff: Tariff, receipt: Receipt) -> tuple[int, Receipt]:
    """Return the fee in minor units and how it came about, for a ride quoted by `receipt`: no trip, no surge."""
    bill = no_show_fee(tariff)
    charged = replace(
        receipt,
        distance_m=0.0,
        travel_time_s=0.0,
        surge_multiplier=BASE_MULTIPLIER,
        lines=bill.lines,
        tax_cents=bill.tax_cents,
        changes=(NO_SHOW,),
    )
    return bill.price_cents, charged
