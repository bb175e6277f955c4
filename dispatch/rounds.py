"""The matching rounds of one region without their waiting: what a round decides, which drivers it asks, and why.

The live service and the simulator run their rounds by this module. They differ in where rides, positions and leases are
kept, and in nothing that is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dispatch.commands import SendOffer
from dispatch.engine import DispatchEngine
from dispatch.matching.policy import RoundDecision
from dispatch.matching.reasons import Reason, RoundTrace
from dispatch.model import DispatchParams, Ride, SupplySnapshot
from dispatch.rules.window import MarketWatch, figures_of


@dataclass(frozen=True, slots=True)
class Round:
    """One round once it is decided; follows what becomes of its matches."""

    #: The region's, with the cap on pickup ETAs of this round.
    params: DispatchParams
    waiting: list[Ride]
    supply: SupplySnapshot
    decision: RoundDecision
    #: Whether pickups had to be shorter than usual, because few drivers were idle.
    is_capped: bool
    #: Why a match led to no offer, by ride.
    not_offered: dict[str, Reason] = field(default_factory=dict)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The (driver_id, ride_id) to lease, in the order of the matches."""
        return [(match.driver_id, match.ride_id) for match in self.decision.matches]

    def offers(self, tokens: Sequence[int | None]) -> list[SendOffer]:
        """The offers to send, given the fencing token of each pair, None where the lease was refused.

        A pair without a lease is left to the next round.
        """
        offers = []
        for match, token in zip(self.decision.matches, tokens, strict=True):
            if token is None:
                self.not_offered[match.ride_id] = Reason.LEASE_HELD
            else:
                offers.append(SendOffer(match.ride_id, match.driver_id, token, match.pickup_eta_s))
        return offers

    def refuse(self, offer: SendOffer) -> None:
        """Note that the ride or its driver had changed before the offer was written; its lease must be released."""
        self.not_offered[offer.ride_id] = Reason.OFFER_REFUSED

    def trace(self, unseen: Mapping[Reason, int]) -> RoundTrace:
        """The trace of the round; `unseen` counts drivers of the region who are not in its supply, by the reason."""
        return RoundTrace(self.waiting, self.supply, self.decision, unseen, self.not_offered, is_capped=self.is_capped)


class Rounds:
    """Decides the rounds of one region in the order of time; what it remembers of them is learned again if lost."""

    def __init__(self, params: DispatchParams) -> None:
        self._params = params
        self._market = MarketWatch(params)

    @property
    def window_s(self) -> float:
        """City seconds from the last round to the next."""
        return self._market.window_s

    def decide(self, engine: DispatchEngine, supply: SupplySnapshot, now_s: float) -> Round:
        """Match the engine's waiting rides with the supply. It can take long: it may run in a thread of its own."""
        pickup_eta_s_max = self._market.pickup_eta_s_max
        waiting = engine.waiting()
        decision = engine.decide_round(supply, now_s, pickup_eta_s_max)
        self._market.observe(figures_of(len(waiting), supply, decision.matches))
        is_capped = pickup_eta_s_max != self._params.pickup_eta_s_max
        params = replace(self._params, pickup_eta_s_max=pickup_eta_s_max) if is_capped else self._params
        return Round(params, waiting, supply, decision, is_capped)
