"""Keeps the figures of the last matching rounds for operators."""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis

from dispatch.ports import RoundReport
from kernel.contracts import redis_keys

#: A minute of rounds at the usual window, twice.
ROUNDS_KEPT = 60


class RedisRoundLog:
    """`RoundLog` in a capped list."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        self._redis = redis
        self._key = redis_keys.rounds(region_id)

    async def write(self, report: RoundReport) -> None:
        """See `RoundLog.write`."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.lpush(self._key, msgspec.json.encode(report))
        pipeline.ltrim(self._key, 0, ROUNDS_KEPT - 1)
        await pipeline.execute()


async def last_round(redis: Redis, region_id: str) -> RoundReport | None:
    """The newest report; None before the region's first round."""
    line = await redis.lindex(redis_keys.rounds(region_id), 0)
    return None if line is None else msgspec.json.decode(line, type=RoundReport)


async def read_rounds(redis: Redis, region_id: str) -> list[RoundReport]:
    """The last reports, the newest first."""
    return [
        msgspec.json.decode(line, type=RoundReport) for line in await redis.lrange(redis_keys.rounds(region_id), 0, -1)
    ]
