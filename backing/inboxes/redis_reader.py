"""Reading inboxes from Redis, and hearing that they have grown; for the edges."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import stamina
from redis.asyncio import Redis

from backing.inboxes.redis_inboxes import INBOXES_LIBRARY, bucket_groups, newest_of, position_of
from backing.redis.functions import RedisFunctions
from kernel.contracts import redis_keys

#: Wall seconds of one wait for news, and before a lost connection is made anew.
LISTEN_S = 3.0
RECONNECT_S = 0.5


class RedisInboxReader:
    """Reads many inboxes in one round trip.

    A relay of version 0.2 knows no buckets. While it is ahead, before an upgrade reaches the relay or after it was
    taken back, the inboxes are read where that one writes them; positions are the same in both.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._functions = RedisFunctions(redis, INBOXES_LIBRARY)
        self._groups = bucket_groups(redis)
        self._group_of = {bucket: number for number, group in enumerate(self._groups) for bucket in group}
        self._are_unbucketed = False

    async def read(self, name: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """(position, JSON event) of what came after a position, in order."""
        return (await self.read_many({name: after}, limit)).get(name, [])

    async def read_many(self, after: Mapping[str, int], limit: int) -> dict[str, list[tuple[int, bytes]]]:
        """For each name the (position, JSON event) after its position, in one round trip; empty ones are absent."""
        keys = {self._key(name).encode(): name for name in after}
        of_group: dict[int, dict[Any, Any]] = {}
        for key, name in keys.items():
            of_group.setdefault(self._group_of[redis_keys.inbox_bucket(name)], {})[key] = f"{after[name]}-0"
        pipeline = self._redis.pipeline(transaction=False)
        for wanted in of_group.values():
            pipeline.xread(wanted, count=limit)
        found = [pair for answer in await pipeline.execute() for pair in _pairs(answer)]
        return {
            keys[key]: [(position_of(entry_id), fields[b"payload"]) for entry_id, fields in entries]
            for key, entries in found
        }

    async def look(self, positions: Collection[tuple[str, int]]) -> tuple[int | None, str | None, set[tuple[str, int]]]:
        """Position up to which the inboxes are complete (None if nobody knows), the mark of the last restoration of an
        older log (None if there is none), and those of the (name, position) that are kept.
        """
        asked, newest = list(positions), await newest_of(self._functions, self._groups)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xrevrange(redis_keys.UNBUCKETED_INBOXES_COMPLETE, count=1)
        pipeline.get(redis_keys.INBOXES_RESTORED)
        for name, position in asked:
            pipeline.xrange(self._key(name), f"{position}-0", f"{position}-0", count=1)
        before, restored, *found = await pipeline.execute()
        unbucketed = position_of(before[0][0]) if before else None
        is_ahead = unbucketed is not None and (newest is None or unbucketed > newest)
        if self._are_unbucketed != is_ahead:
            self._are_unbucketed = is_ahead
            return await self.look(positions)
        newest = unbucketed if is_ahead else newest
        kept = {one for one, entries in zip(asked, found, strict=True) if entries}
        return newest, restored.decode() if restored else None, kept

    def _key(self, name: str) -> str:
        return redis_keys.unbucketed_inbox(name) if self._are_unbucketed else redis_keys.inbox(name)


def _pairs(answer: Any) -> list[tuple[bytes, Any]]:
    """(key, entries) of an answer to XREAD: RESP2 has pairs; RESP3 a mapping, and one more list around the entries."""
    if isinstance(answer, dict):
        return [(key, lists[0]) for key, lists in answer.items()]
    return list(answer or ())


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
