"""Bodies of surge prices, their history, and operators' orders to freeze them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from api.schemas.base import Seconds, Strict
from pricing.model.surge import FreezeOrder
from pricing.rules.price_changes import BOUND_WORDS, WORDS, PriceChange, Reason


class SurgeBody(BaseModel):
    """The current surge multiplier of a cell."""

    cell: str
    multiplier: float
    bonus_cents: Annotated[int, Field(description="fixed amount that a driver earns on top for any ride from here")]
    updated_s: Annotated[float | None, Field(description="when it was last set; null if never")]


class BoundBody(BaseModel):
    """A bound that kept the price from its target."""

    bound: str
    words: str


class ChangeBody(BaseModel):
    """One change of a cell's price, with the inputs of the decision."""

    at_s: Seconds
    multiplier: float
    multiplier_before: float
    reason: Reason
    words: str = Field(description="the reason in words")
    requests: float = Field(description="in the cell, decayed with the half-life of demand")
    quotes: float = Field(description="asked in the cell, decayed alike")
    idle_drivers: float = Field(description="in the cell")
    supply: float = Field(description="idle drivers within reach; the shares of a driver over all cells add up to one")
    target: float = Field(description="the multiplier that would clear the cell, within floor, cap and evidence")
    wanted: float = Field(description="the target after smoothing with the neighbouring cells")
    bounds: list[BoundBody]
    version: str = Field(description="version of rules and parameters: equal versions decide alike")

    @classmethod
    def of(cls, change: PriceChange) -> ChangeBody:
        """Convert a recorded change."""
        return cls(
            at_s=change.at_s,
            multiplier=change.multiplier,
            multiplier_before=change.multiplier_before,
            reason=change.reason,
            words=WORDS[change.reason],
            requests=change.requests,
            quotes=change.quotes,
            idle_drivers=change.idle_drivers,
            supply=change.supply,
            target=change.target,
            wanted=change.wanted,
            bounds=[
                BoundBody(bound=str(bound.name).lower(), words=BOUND_WORDS[bound]) for bound in change.bounds_acted
            ],
            version=change.version,
        )


class HistoryBody(BaseModel):
    """The price changes of a cell."""

    cell: str
    changes: list[ChangeBody] = Field(description="the newest first")


class OrderRequest(Strict):
    """The reason of an order."""

    reason: Annotated[str, Field(min_length=3, max_length=500, description="kept on record")]


class OrderBody(BaseModel):
    """An operator's recorded order."""

    at_s: Seconds
    is_frozen: bool
    reason: str
    operator: str

    @classmethod
    def of(cls, order: FreezeOrder) -> OrderBody:
        """Convert an order."""
        return cls(at_s=order.at_s, is_frozen=order.is_frozen, reason=order.reason, operator=order.operator)


class OrdersBody(BaseModel):
    """The orders of operators."""

    orders: list[OrderBody] = Field(description="newest first; the newest is in force")
