"""The limit of requests of each person: counted in Redis for all processes, and by this process while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import Counter
from redis.exceptions import RedisError

from api.abuse.rates import RATES, US_PER_S, Rate, RouteKind, Verdict, key_of, take
from api.auth.tokens import Principal, Role

log = structlog.get_logger(__name__)

#: Wall seconds that a count may take: many times what it takes, and short enough that nobody notices.
COUNT_S_MAX = 0.25
#: Wall seconds in which this process counts by itself after Redis failed to.
ALONE_S = 1.0
#: Budgets that are kept here before those that are full again are forgotten.
KEPT = 10_000

REFUSED = Counter("hexhail_api_requests_refused", "Requests above the limit of a person", ["role", "kind"])
COUNTED_ALONE = Counter("hexhail_api_requests_counted_alone", "Requests counted by this process, for Redis was away")


class SharedRates(Protocol):
    """Budgets that all processes share."""

    async def take(self, principal: Principal, kind: RouteKind, rate: Rate) -> Verdict:
        """Count a request if it may come."""
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """The verdict on a request and the rate that it was judged by."""

    kind: RouteKind
    rate: Rate
    verdict: Verdict
    #: Whether all processes count together: else others know of requests that this one does not.
    is_shared: bool

    @property
    def headers(self) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10.

        What is left is said only where it is known.
        """
        said = {"RateLimit-Policy": f'"{self.kind}";q={self.rate.burst};w={self.rate.window_s}'}
        if self.is_shared:
            full_s = -(-self.verdict.full_us // US_PER_S)
            said["RateLimit"] = f'"{self.kind}";r={self.verdict.left};t={full_s}'
        return said


class RequestLimits:
    """Counts requests. A person who is above the limit is refused; a server that cannot count refuses nobody."""

    def __init__(
        self,
        shared: SharedRates,
        scale: float = 1.0,
        rates: Mapping[Role, Mapping[RouteKind, Rate]] = RATES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``scale`` multiplies every rate, 0 is no limit; ``now`` gives monotonic seconds."""
        self._shared = shared
        self._rates = {
            role: {kind: rate.scaled(scale) for kind, rate in by_kind.items()}
            for role, by_kind in rates.items()
            if scale
        }
        self._now = now
        self._alone_until_s = float("-inf")
        self._arrival_us: dict[tuple[str, str], int] = {}

    async def take(self, principal: Principal, kind: RouteKind) -> Taken | None:
        """Count a request of a person; None where there is no limit. Raises nothing of Redis."""
        if not self._rates:
            return None
        rate = self._rates[principal.role][kind]
        verdict = await self._together(principal, kind, rate)
        taken = Taken(kind, rate, verdict or self._alone(principal, kind, rate), is_shared=verdict is not None)
        if not taken.verdict.is_allowed:
            REFUSED.labels(principal.role, kind).inc()
        return taken

    async def _together(self, principal: Principal, kind: RouteKind, rate: Rate) -> Verdict | None:
        if self._now() < self._alone_until_s:
            return None
        try:
            async with asyncio.timeout(COUNT_S_MAX):
                return await self._shared.take(principal, kind, rate)
        except (RedisError, OSError, TimeoutError) as error:
            self._alone_until_s = self._now() + ALONE_S
            log.warning("requests_counted_alone", error=repr(error))
            return None

    def _alone(self, principal: Principal, kind: RouteKind, rate: Rate) -> Verdict:
        COUNTED_ALONE.inc()
        now_us, key = round(self._now() * US_PER_S), key_of(principal, kind)
        if len(self._arrival_us) >= KEPT:
            self._arrival_us = {one: at_us for one, at_us in self._arrival_us.items() if at_us > now_us}
        verdict, self._arrival_us[key] = take(rate, self._arrival_us.get(key, 0), now_us)
        return verdict
