"""Keeps the last rejected pings of each reason in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from kernel.contracts import redis_keys
from location_ingest.model import Reason, RejectedPing

#: Samples kept for each reason: as many as fit on a screen.
SAMPLES_MAX = 20
#: Wall seconds. For the days before there are the counters.
KEPT_S = 24 * 3_600


class RedisSamples:
    """RejectionSamples on one Redis; the client must give bytes back."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, region_id: str, samples: Sequence[RejectedPing]) -> None:
        """Put the samples before the others of their reason. Raises redis-py's errors, and what it leaks."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for reason in sorted({sample.reason for sample in samples}):
                key = redis_keys.rejected_pings(region_id, reason)
                pipeline.lpush(key, *[msgspec.msgpack.encode(s) for s in samples if s.reason is reason])
                pipeline.ltrim(key, 0, SAMPLES_MAX - 1)
                pipeline.expire(key, KEPT_S)
            await pipeline.execute()

    async def read(self, region_id: str) -> list[RejectedPing]:
        """Return all samples, by reason and then the newest first."""
        found: list[RejectedPing] = []
        for reason in Reason:
            kept: list[Any] = await self._redis.lrange(redis_keys.rejected_pings(region_id, reason), 0, -1)
            found += [msgspec.msgpack.decode(sample, type=RejectedPing) for sample in kept]
        return found
