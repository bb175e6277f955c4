"""Budgets of requests in Redis, one for all API processes."""

from __future__ import annotations

from redis.asyncio import Redis

from api.abuse.rates import Rate, RouteKind, Verdict, key_of
from api.auth.tokens import Principal
from backing.redis.functions import LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys

#: The server's own clock.
SERVER_CLOCK = 0


class RedisRates:
    """`SharedRates` by the function of `gcra.lua`."""

    def __init__(self, redis: Redis) -> None:
        self._functions = RedisFunctions(redis, LuaLibrary.read("api.abuse", "gcra.lua"))

    async def take(self, principal: Principal, kind: RouteKind, rate: Rate, now_us: int = SERVER_CLOCK) -> Verdict:
        """See `SharedRates.take`. Raises what redis-py raises."""
        key = redis_keys.request_rate(*key_of(principal, kind))
        arguments = (rate.interval_us, rate.burst, now_us)
        is_allowed, left, wait_us, full_us = await self._functions.call("hexhail_rates_take", [key], arguments)
        return Verdict(bool(is_allowed), int(left), int(wait_us), int(full_us))
