"""A fare that an operator has set, with the lines that still add up to it."""

from __future__ import annotations

from dataclasses import replace

from pricing.model.quotes import Line, Receipt
from pricing.rules.fares import nearest

#: The name of the line that makes the difference, and of the change in the receipt.
CORRECTION = "correction"


def corrected(price_cents: int, receipt: Receipt, fare_cents: int) -> Receipt:
    """Return the receipt of a ride that cost ``price_cents`` and now costs ``fare_cents``.

    The tax keeps its share of the fare; all else that differs is one line. Earlier corrections are replaced.
    """
    tax_cents = nearest(receipt.tax_cents * fare_cents, price_cents) if price_cents else 0
    lines = [line for line in receipt.lines if line.name != CORRECTION]
    lines = [Line(line.name, tax_cents) if line.name == "tax" else line for line in lines]
    lines.append(Line(CORRECTION, fare_cents - sum(line.cents for line in lines)))
    changes = tuple(change for change in receipt.changes if change != CORRECTION)
    return replace(
        receipt,
        lines=tuple(line for line in lines if line.cents),
        tax_cents=tax_cents,
        changes=(*changes, CORRECTION),
    )
