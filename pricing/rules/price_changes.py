"""The record of a price change, the reason of it, and the words in which riders and regulators read both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pricing.events import SurgeChanged
from pricing.model.surge import BASE_MULTIPLIER
from pricing.rules.surge import Bound


class Reason(StrEnum):
    """What moved a price; exactly one for each change."""

    DEMAND = "demand"
    EASING = "easing"
    IDLE_DRIVERS = "idle_drivers"
    RECOVERING = "recovering"
    FROZEN = "frozen"


WORDS = {
    Reason.DEMAND: "more is asked for than the drivers in reach can serve",
    Reason.EASING: "demand eases, or drivers have come: back towards the base price",
    Reason.IDLE_DRIVERS: "more drivers wait than are asked for: below the base price",
    Reason.RECOVERING: "fewer drivers wait: back up towards the base price",
    Reason.FROZEN: "an operator froze all prices at the base price",
}

BOUND_WORDS = {
    Bound.EVIDENCE: "too few requests to believe all of it",
    Bound.FLOOR: "held at the region's floor",
    Bound.CAP: "held at the region's cap",
    Bound.NEIGHBOURS: "brought nearer to the prices next door",
    Bound.DEAD_BAND: "small differences are left alone",
    Bound.STEP: "moved by one bounded step, more to follow",
    Bound.FADED: "it had faded towards the base price while nobody set prices",
}


@dataclass(frozen=True, slots=True)
class PriceChange:
    """One cell's change of price with what it was decided on; the fields are those of `SurgeChanged`."""

    cell: int
    at_s: float
    multiplier: float
    multiplier_before: float
    requests: float
    quotes: float
    idle_drivers: float
    supply: float
    target: float
    wanted: float
    bounds: int
    reason: Reason
    version: str

    @property
    def bounds_acted(self) -> list[Bound]:
        """The bounds that kept the price from its clearing value."""
        return [bound for bound in Bound if self.bounds & bound]


def reason_of(multiplier: float, before: float, *, is_frozen: bool) -> Reason:
    """Return what moved a price from ``before`` to ``multiplier``."""
    if is_frozen:
        return Reason.FROZEN
    if multiplier > before:
        return Reason.DEMAND if multiplier > BASE_MULTIPLIER else Reason.RECOVERING
    return Reason.EASING if multiplier >= BASE_MULTIPLIER else Reason.IDLE_DRIVERS


def changes_of(event: SurgeChanged) -> list[PriceChange]:
    """Return the changes of one moment, cell by cell."""
    columns = (
        event.cell, event.multiplier, event.multiplier_before, event.requests, event.quotes,
        event.idle_drivers, event.supply, event.target, event.wanted, event.bounds,
    )  # fmt: skip
    return [
        PriceChange(
            cell=cell,
            at_s=event.at_s,
            multiplier=after,
            multiplier_before=before,
            requests=requests,
            quotes=quotes,
            idle_drivers=idle,
            supply=supply,
            target=target,
            wanted=wanted,
            bounds=bounds,
            reason=reason_of(after, before, is_frozen=event.is_frozen),
            version=event.version,
        )
        for cell, after, before, requests, quotes, idle, supply, target, wanted, bounds in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]
