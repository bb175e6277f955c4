"""The batch window and the longest pickup, from how many drivers are idle and how fast requests and drivers arrive.

With n drivers (or requests) to choose from, a pickup takes about T(n) = kappa / sqrt(n) seconds; kappa is learned from
the rounds. If r more arrive each second, waiting a second longer shortens a pickup by r kappa / (2 n^(3/2)) seconds, so
that waiting pays while n is below (kappa r / 2)^(2/3). The same holds in Castillo, Knoepfle, Weyl 2017, The Wild Goose
Chase (doi:10.1145/3033274.3085098): with Q rides begun per second, fewer idle drivers than (kappa Q / 2)^(2/3) spend so
long on their way to pickups that sending them far serves fewer riders in all. Window and radius belong together: Yang
et al. 2020 (doi:10.1016/j.trb.2020.01.008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dispatch.events import MatchFound
from dispatch.model import DispatchParams, SupplySnapshot

#: City seconds over which rates are averaged: a few minutes of arrivals, yet quicker than a rush hour begins.
RATE_S = 120.0
#: Pickups over which kappa is averaged.
PICKUPS = 200.0


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """Figures of one round: the counts before its matches, and the mean pickup ETA of the matches (0 without any)."""

    at_s: float
    n_waiting: int
    n_idle: int
    n_matches: int
    pickup_eta_s: float = 0.0


def figures_of(n_waiting: int, supply: SupplySnapshot, matches: Sequence[MatchFound]) -> RoundFigures:
    """The figures of a round that found these matches; drivers with a rider aboard do not count as idle."""
    mean_s = sum(match.pickup_eta_s for match in matches) / len(matches) if matches else 0.0
    return RoundFigures(supply.now_s, n_waiting, supply.n_idle, len(matches), mean_s)


class MarketWatch:
    """Follows the rounds of one region. Its state may be lost: it is learned again within minutes."""

    def __init__(self, params: DispatchParams) -> None:
        self._params = params
        self._shortest_s = min(params.batch_window_s_min or params.batch_window_s, params.batch_window_s)
        self._last: RoundFigures | None = None
        #: Per second: requests, drivers who become idle, matches.
        self._request_rate = self._driver_rate = self._match_rate = 0.0
        #: kappa in seconds times the root of a count; 0 until a pickup was seen.
        self._kappa = 0.0

    def observe(self, figures: RoundFigures) -> None:
        """Take in a round; rounds come in the order of time."""
        last, self._last = self._last, figures
        thickness = max(figures.n_waiting, figures.n_idle)
        if figures.n_matches and thickness:
            seen = figures.pickup_eta_s * math.sqrt(thickness)
            weight = 1.0 if self._kappa == 0.0 else min(1.0, figures.n_matches / PICKUPS)
            self._kappa += weight * (seen - self._kappa)
        if last is None or figures.at_s <= last.at_s:
            return
        passed_s = figures.at_s - last.at_s
        weight = -math.expm1(-passed_s / RATE_S)
        came = max(0, figures.n_waiting - (last.n_waiting - last.n_matches))
        freed = max(0, figures.n_idle - (last.n_idle - last.n_matches))
        per_s = weight / passed_s  # stays finite when nothing has passed
        self._request_rate += came * per_s - weight * self._request_rate
        self._driver_rate += freed * per_s - weight * self._driver_rate
        self._match_rate += last.n_matches * per_s - weight * self._match_rate

    @property
    def window_s(self) -> float:
        """City seconds until the next round: as long as waiting gains more than it costs, within the bounds."""
        if self._last is None:
            return self._shortest_s
        n, rate = self._last.n_idle, self._driver_rate
        if self._last.n_waiting > n:  # drivers choose among requests
            n, rate = self._last.n_waiting, self._request_rate
        if rate <= 0.0:
            return self._shortest_s
        worth_s = (self._turning_point(rate) - n) / rate
        return min(max(worth_s, self._shortest_s), self._params.batch_window_s)

    @property
    def pickup_eta_s_max(self) -> float:
        """The longest pickup ETA at which a driver is asked now: shorter than usual while too few are idle."""
        usual_s = self._params.pickup_eta_s_max
        turning_point = self._turning_point(self._match_rate)
        cap_s = self._params.pickup_cap_s_min or usual_s
        if self._last is None or turning_point <= 0.0 or self._last.n_idle >= turning_point:
            return usual_s
        return min(usual_s, max(cap_s, self._kappa / math.sqrt(turning_point)))

    def _turning_point(self, rate: float) -> float:
        """The count n beyond which waiting for one more does not pay, (kappa rate / 2)^(2/3)."""
        return float((self._kappa * rate / 2.0) ** (2.0 / 3.0))
