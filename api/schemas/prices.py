"""Prices of cells, their record, and the orders that hold them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from api.schemas.base import Seconds, Strict
from pricing.model.surge import FreezeOrder
from pricing.rules.price_changes import BOUND_WORDS, WORDS, PriceChange, Reason


class SurgeBody(BaseModel):
    """The multiplier that quotes in a cell get now."""

    cell: str
    multiplier: float
    bonus_cents: Annotated[int, Field(description="what any ride from here brings its driver on top, short or long")]
    updated_s: Annotated[float | None, Field(description="when it was last set; null if never")]


class BoundBody(BaseModel):
    """What kept a price from the one that would clear the cell."""

    bound: str
    words: str


class ChangeBody(BaseModel):
    """One change of a cell's price, with everything it was decided on."""

    at_s: Seconds
    multiplier: float
    multiplier_before: float
    reason: Reason
    words: str = Field(description="the reason in words")
    requests: float = Field(description="in the cell, each counting half after the half-life of demand")
    quotes: float = Field(description="asked in the cell, counted alike")
    idle_drivers: float = Field(description="in the cell")
    supply: float = Field(description="idle drivers within reach, by shares that add up to one for each driver")
    target: float = Field(description="the multiplier that would clear the cell, within floor, cap and evidence")
    wanted: float = Field(description="the same, once brought near the prices next door")
    bounds: list[BoundBody]
    version: str = Field(description="of rules and parameters: the same version decides the same")

    @classmethod
    def of(cls, change: PriceChange) -> ChangeBody:
        """The public face of a change on record."""
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
    """What a cell has cost."""

    cell: str
    changes: list[ChangeBody] = Field(description="the newest first")


class OrderRequest(Strict):
    """Why."""

    reason: Annotated[str, Field(min_length=3, max_length=500, description="kept on record")]


class OrderBody(BaseModel):
    """An operator's order as it is on record."""

    at_s: Seconds
    is_frozen: bool
    reason: str
    operator: str

    @classmethod
    def of(cls, order: FreezeOrder) -> OrderBody:
        """The public face of an order."""
        return cls(at_s=order.at_s, is_frozen=order.is_frozen, reason=order.reason, operator=order.operator)


class OrdersBody(BaseModel):
    """What operators ordered."""

    orders: list[OrderBody] = Field(description="the newest first; it stands")
