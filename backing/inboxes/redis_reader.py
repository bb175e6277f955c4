"""Reading inboxes from Redis, and hearing that they have grown; for the edges."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import stamina
from redis.asyncio import Redis

from backing.inboxes.redis_inboxes import position_of
from kernel.contracts import redis_keys

#: Wall seconds of one wait for news, and before a lost connection is made anew.
LISTEN_S = 3.0
RECONNECT_S = 0.5


class RedisInboxReader:
    """Reads many inboxes in one round trip."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, name: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """(position, JSON event) of what came after a position, in order."""
        return (await self.read_many({name: after}, limit)).get(name, [])

    async def read_many(self, after: Mapping[str, int], limit: int) -> dict[str, list[tuple[int, bytes]]]:
        """For each name the (position, JSON event) after its position, in one round trip; empty ones are absent."""
        keys = {redis_keys.inbox(name).encode(): name for name in after}
        wanted: dict[Any, Any] = {key: f"{after[name]}-0" for key, name in keys.items()}
        found: Any = await self._redis.xread(wanted, count=limit) or []
        # RESP2 answers with pairs; RESP3 with a mapping, and one more list around the entries.
        pairs = [(key, lists[0]) for key, lists in found.items()] if isinstance(found, dict) else found
        return {
            keys[key]: [(position_of(entry_id), fields[b"payload"]) for entry_id, fields in entries]
            for key, entries in pairs
        }

    async def look(self, positions: Collection[tuple[str, int]]) -> tuple[int | None, str | None, set[tuple[str, int]]]:
        """Position up to which the inboxes are complete (None if nobody knows), the mark of the last restoration of an
        older log (None if there is none), and those of the (name, position) that are kept; in one round trip.
        """
        asked = list(positions)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xrevrange(redis_keys.INBOXES_COMPLETE, count=1)
        pipeline.get(redis_keys.INBOXES_RESTORED)
        for name, position in asked:
            pipeline.xrange(redis_keys.inbox(name), f"{position}-0", f"{position}-0", count=1)
        complete, restored, *found = await pipeline.execute()
        newest = position_of(complete[0][0]) if complete else None
        kept = {one for one, entries in zip(asked, found, strict=True) if entries}
        return newest, restored.decode() if restored else None, kept


async def listen_for_news(redis: Redis, ring: Callable[[list[str]], None]) -> None:
    """Call `ring` with the names of inboxes as they grow, until cancelled.

    News that are lost with a connection do no harm: the streams also look at their inboxes from time to time.
    """

    # Exception, not RedisError: redis-py lets other errors out while a server goes away.
    @stamina.retry(
        on=Exception, attempts=None, timeout=None, wait_initial=RECONNECT_S, wait_max=RECONNECT_S, wait_jitter=0.0
    )
    async def listen() -> None:
        async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(redis_keys.INBOX_NEWS)
            while True:
                message = await pubsub.get_message(timeout=LISTEN_S)
                if message is not None:
                    ring(message["data"].decode().split())

    await listen()
