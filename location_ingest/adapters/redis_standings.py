"""Why the newest ping of a driver was not believed, in Redis: written by the worker, read by the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from kernel.contracts import redis_keys
from location_ingest.model import LastPings, UnbelievedPing

#: Wall seconds. Who is silent for so long is not waiting to hear why.
KEPT_S = 600


class RedisStandings:
    """`Standings` of one Redis; the client must give bytes back."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def mark(self, region_id: str, unbelieved: Sequence[UnbelievedPing]) -> None:
        """See `Standings.mark`. Raises redis-py's errors, and what it leaks."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for one in unbelieved:
                key = redis_keys.unbelieved(region_id, one.driver_id)
                pipeline.set(key, f"{one.reason}|{round(one.t_s * 1e3)}", ex=KEPT_S)
            await pipeline.execute()

    async def read(self, region_id: str, driver_ids: Sequence[str]) -> dict[str, LastPings]:
        """See `Standings.read`. Raises redis-py's errors, and what it leaks."""
        if not driver_ids:
            return {}
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hmget(redis_keys.driver_index(region_id), list(driver_ids))
            # Not `mget`, which redis-py refuses on a cluster, though these keys are all in the region's slot.
            pipeline.execute_command("MGET", *[redis_keys.unbelieved(region_id, name) for name in driver_ids])
            entries, marks = await pipeline.execute()
        return {
            driver_id: _last_pings(entry, mark)
            for driver_id, entry, mark in zip(driver_ids, entries, marks, strict=True)
        }


def _last_pings(entry: bytes | None, mark: bytes | None) -> LastPings:
    seen_s = None if entry is None else int(entry.rpartition(b"|")[2]) / 1e3
    if mark is None:
        return LastPings(seen_s)
    reason, _, t_ms = mark.decode().partition("|")
    return LastPings(seen_s, reason, int(t_ms) / 1e3)
