"""Why a driver was not chosen for a request: exactly one reason each, that of the first check which failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dispatch.matching.policy import Considered, RoundDecision
from dispatch.model import Ride, SupplySnapshot


class Reason(StrEnum):
    """Why a driver was not asked, in the order of the checks; the first that fails counts."""

    BUSY_OR_OFF_SHIFT = "busy_or_off_shift"
    STALE_POSITION = "stale_position"
    TOO_FEW_SEATS = "too_few_seats"
    REFUSED_BEFORE = "refused_before"
    OUT_OF_REACH = "out_of_reach"
    TOO_FAR_WHILE_FEW_ARE_IDLE = "too_far_while_few_are_idle"
    ENOUGH_WERE_NEARER = "enough_were_nearer"
    NOT_WORTH_ASKING = "not_worth_asking"
    BETTER_USED_ELSEWHERE = "better_used_elsewhere"
    ANOTHER_SUITED_BETTER = "another_suited_better"
    LEFT_OUT_BY_POLICY = "left_out_by_policy"
    LEASE_HELD = "lease_held"
    OFFER_REFUSED = "offer_refused"


#: What each reason says to an operator.
WORDS: dict[Reason, str] = {
    Reason.BUSY_OR_OFF_SHIFT: "seen on the map, but on a ride that does not end soon, with an offer, or not working",
    Reason.STALE_POSITION: "free, but silent for too long to know where",
    Reason.TOO_FEW_SEATS: "free, but the car is too small",
    Reason.REFUSED_BEFORE: "declined this ride, let its offer run out or gave it back",
    Reason.OUT_OF_REACH: "would need longer to the pickup than is allowed",
    Reason.TOO_FAR_WHILE_FEW_ARE_IDLE: "so few are idle that nobody is sent as far as usual",
    Reason.ENOUGH_WERE_NEARER: "in reach or not, but as many as are weighed were nearer",
    Reason.NOT_WORTH_ASKING: "the score says that waiting is worth more than this driver",
    Reason.BETTER_USED_ELSEWHERE: "asked for another ride in the same round",
    Reason.ANOTHER_SUITED_BETTER: "stayed free: the round chose another driver for the ride",
    Reason.LEFT_OUT_BY_POLICY: "stayed free and so did the ride: the policy did not pair them",
    Reason.LEASE_HELD: "chosen, but the driver or the ride was held by another offer at that moment",
    Reason.OFFER_REFUSED: "chosen, but the ride or the driver had changed before the offer was written",
}

#: Code in arrays of the driver who was chosen; other codes are positions in `Reason`.
CHOSEN = -1
_CODE = {reason: code for code, reason in enumerate(Reason)}


@dataclass(frozen=True, slots=True)
class CandidateTrace:
    """One driver who was weighed for a ride; `reason` is None for the one who was asked."""

    driver_id: str
    pickup_eta_s: float
    score: float
    terms: dict[str, float]
    reason: Reason | None
    #: The probability of acceptance, if the policy estimates it.
    acceptance: float | None = None


@dataclass(frozen=True, slots=True)
class RideTrace:
    """One round from the view of one ride: drivers counted by reason, and the candidates in detail."""

    ride_id: str
    at_s: float
    policy: str
    n_drivers: int
    #: Drivers by reason, over everyone whom the region sees; with the one who was asked, if any, they add up.
    not_chosen: dict[str, int]
    asked: str | None
    candidates: list[CandidateTrace]
    faults: tuple[str, ...] = ()


class RoundTrace:
    """The inputs and the decision of one round, from which the trace of each of its rides is made."""

    def __init__(
        self,
        waiting: Sequence[Ride],
        supply: SupplySnapshot,
        decision: RoundDecision,
        unseen: Mapping[Reason, int] | None = None,
        not_offered: Mapping[str, Reason] | None = None,
        *,
        is_capped: bool = False,
    ) -> None:
        """`unseen` counts the drivers of the region who are not in the snapshot, by reason.

        `not_offered`: why a match led to no offer, by ride. `is_capped`: pickups had to be shorter than usual, because
        few drivers were idle.
        """
        self._reach_gate = Reason.TOO_FAR_WHILE_FEW_ARE_IDLE if is_capped else Reason.OUT_OF_REACH
        self.waiting = waiting
        self._supply = supply
        self._decision = decision
        self._unseen = dict(unseen or {})
        self._column = {driver_id: column for column, driver_id in enumerate(supply.driver_id)}
        self._match_of = {match.ride_id: match for match in decision.matches}
        self._is_used = np.zeros(len(supply), np.bool_)
        self._is_used[[self._column[match.driver_id] for match in decision.matches]] = True
        self._not_offered = dict(not_offered or {})

    def codes(self, row: int) -> NDArray[np.int64]:
        """For each driver of the snapshot, (n,), the code of the one reason, or `CHOSEN`."""
        ride, supply, considered = self.waiting[row], self._supply, self._decision.considered
        match = self._match_of.get(ride.ride_id)
        last_gate = Reason.LEFT_OUT_BY_POLICY if match is None else Reason.ANOTHER_SUITED_BETTER
        codes = np.full(len(supply), _CODE[last_gate])
        codes[self._is_used] = _CODE[Reason.BETTER_USED_ELSEWHERE]
        if considered is not None:
            self._mark_unweighed(codes, row, considered)
        refused = [self._column[driver_id] for driver_id in ride.refused_by if driver_id in self._column]
        codes[refused] = _CODE[Reason.REFUSED_BEFORE]
        codes[supply.seats < ride.seats] = _CODE[Reason.TOO_FEW_SEATS]
        if match is not None:
            reason = self._not_offered.get(ride.ride_id)
            codes[self._column[match.driver_id]] = CHOSEN if reason is None else _CODE[reason]
        return codes

    def of(self, row: int) -> RideTrace:
        """The trace of the ride in this row."""
        ride, decision = self.waiting[row], self._decision
        codes = self.codes(row)
        match = self._match_of.get(ride.ride_id)
        is_asked = match is not None and ride.ride_id not in self._not_offered
        counts = Counter(dict(self._unseen))
        for code, count in zip(*np.unique(codes[codes != CHOSEN], return_counts=True), strict=True):
            counts[_REASONS[code]] += int(count)
        return RideTrace(
            ride_id=ride.ride_id,
            at_s=self._supply.now_s,
            policy=decision.policy,
            n_drivers=len(self._supply) + sum(self._unseen.values()),
            not_chosen={reason.value: counts[reason] for reason in Reason if counts[reason]},
            asked=match.driver_id if match is not None and is_asked else None,
            candidates=self._weighed(row, codes),
            faults=decision.faults,
        )

    def _mark_unweighed(self, codes: NDArray[np.int64], row: int, considered: Considered) -> None:
        pairs = considered.candidates
        edges = _edges_of(considered, row)
        weighed = pairs.driver[edges]
        is_weighed = np.zeros(len(codes), np.bool_)
        is_weighed[weighed] = True
        gate = self._reach_gate if pairs.saw_all_in_reach[row] else Reason.ENOUGH_WERE_NEARER
        codes[~is_weighed] = _CODE[gate]
        codes[weighed[considered.score[edges] <= 0]] = _CODE[Reason.NOT_WORTH_ASKING]

    def _weighed(self, row: int, codes: NDArray[np.int64]) -> list[CandidateTrace]:
        considered = self._decision.considered
        if considered is None:
            return []
        pairs, share = considered.candidates, considered.acceptance
        return [
            CandidateTrace(
                driver_id=self._supply.driver_id[pairs.driver[edge]],
                pickup_eta_s=round(float(pairs.pickup_eta_s[edge]), 1),
                score=round(float(considered.score[edge]), 3),
                terms={name: round(float(term[edge]), 3) for name, term in considered.terms.items()},
                reason=None if codes[pairs.driver[edge]] == CHOSEN else _REASONS[codes[pairs.driver[edge]]],
                acceptance=None if share is None else round(float(share[edge]), 3),
            )
            for edge in _edges_of(considered, row).tolist()
        ]


_REASONS = tuple(Reason)


def _edges_of(considered: Considered, row: int) -> NDArray[np.int64]:
    """Positions of a request's candidates, the shortest pickup ETA first."""
    edges = np.flatnonzero(considered.candidates.request == row)
    return edges[np.argsort(considered.candidates.pickup_eta_s[edges], kind="stable")]
