"""Keeps the traces of the last rounds of each ride for operators."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from redis.asyncio import Redis

from dispatch.matching.reasons import RideTrace
from kernel.contracts import redis_keys

#: Rounds kept for a ride: at a window of 2 s the last minute of a wait, about 2 kB each with 20 candidates.
ROUNDS_KEPT = 30
#: Wall seconds that a trace outlives its last round: an operator asks within the hour, or not at all.
KEPT_S = 3600


class RedisTraceLog:
    """`TraceLog` in one capped list for each ride."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        self._redis = redis
        self._region = region_id

    async def write(self, traces: Sequence[RideTrace]) -> None:
        """See `TraceLog.write`."""
        pipeline = self._redis.pipeline(transaction=False)
        for trace in traces:
            key = redis_keys.trace(self._region, trace.ride_id)
            pipeline.lpush(key, msgspec.json.encode(trace))
            pipeline.ltrim(key, 0, ROUNDS_KEPT - 1)
            pipeline.expire(key, KEPT_S)
        await pipeline.execute()


async def read_traces(redis: Redis, region_id: str, ride_id: str) -> list[RideTrace]:
    """The ride's last rounds, the newest first."""
    lines = await redis.lrange(redis_keys.trace(region_id, ride_id), 0, -1)
    return [msgspec.json.decode(line, type=RideTrace) for line in lines]
