"""Figures of the last matching rounds."""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis

from dispatch.ports import RoundReport

#: A minute of rounds at the usual window, twice.
ROUNDS_KEPT = 60


def rounds_key(region_id: str) -> str:
    """Key of a region's list of reports, the newest first."""
    return f"{{{region_id}}}:rounds"


class RedisRoundLog:
    """`RoundLog` in a capped list."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        self._redis = redis
        self._key = rounds_key(region_id)

    async def write(self, report: RoundReport) -> None:
        """See `RoundLog.write`."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.lpush(self._key, msgspec.json.encode(report))
        pipeline.ltrim(self._key, 0, ROUNDS_KEPT - 1)
        await pipeline.execute()


async def read_rounds(redis: Redis, region_id: str) -> list[RoundReport]:
    """The last reports, the newest first."""
    return [msgspec.json.decode(line, type=RoundReport) for line in await redis.lrange(rounds_key(region_id), 0, -1)]
