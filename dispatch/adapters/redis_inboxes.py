"""Inboxes as Redis streams whose entry ids are the outbox positions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from dispatch.ports import OutboxRow

log = structlog.get_logger(__name__)

#: Wall seconds of one wait for news, and before a lost connection is made anew.
LISTEN_S = 3.0
RECONNECT_S = 0.5
#: Entries kept per inbox: a client that was away for longer reads its rides instead.
INBOX_ENTRIES_MAX = 1000
#: Channel that tells the edges which inboxes have grown.
NEWS_CHANNEL = "inbox.news"
#: Present as long as Redis has the data that was written to it.
MARKER_KEY = "inbox.marker"


def inbox_key(name: str) -> str:
    """Key of the inbox `<role>:<id>`."""
    return f"inbox:{name}"


class RedisInboxes:
    """`Inboxes` in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def push(self, rows: Sequence[OutboxRow]) -> None:
        """See `Inboxes.push`. Redis refuses an id that is not greater than the last: what is there stays single."""
        pipeline = self._redis.pipeline(transaction=False)
        for row in rows:
            for name in row.inboxes:
                self._add(pipeline, name, row)
        names = sorted({name for row in rows for name in row.inboxes})
        pipeline.publish(NEWS_CHANNEL, " ".join(names))
        for answer in await pipeline.execute(raise_on_error=False):
            if isinstance(answer, Exception) and not _is_there_already(answer):
                raise answer

    async def is_lost(self) -> bool:
        """See `Inboxes.is_lost`."""
        return not await self._redis.exists(MARKER_KEY)

    async def rebuild(self, rows: Sequence[OutboxRow]) -> None:
        """See `Inboxes.rebuild`. Each inbox is replaced in one transaction, so that no reader sees half of it."""
        by_name: dict[str, list[OutboxRow]] = {}
        for row in rows:
            for name in row.inboxes:
                by_name.setdefault(name, []).append(row)
        for name, own_rows in by_name.items():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.delete(inbox_key(name))
            for row in own_rows:
                self._add(pipeline, name, row)
            await pipeline.execute()
        await self._redis.set(MARKER_KEY, 1)

    def _add(self, pipeline: Redis, name: str, row: OutboxRow) -> None:
        pipeline.xadd(
            inbox_key(name),
            {"payload": row.payload},
            id=f"{row.position}-0",
            maxlen=INBOX_ENTRIES_MAX,
            approximate=True,
        )


def _is_there_already(answer: Exception) -> bool:
    return isinstance(answer, ResponseError) and "equal or smaller" in str(answer)


class RedisInboxReader:
    """Reads inboxes, for the edges."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, name: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """(position, JSON event) of what came after a position, in order."""
        entries: list[Any] = await self._redis.xrange(inbox_key(name), min=f"({after}-0", count=limit) or []
        return [(int(entry_id.split(b"-")[0]), fields[b"payload"]) for entry_id, fields in entries]


async def listen_for_news(redis: Redis, ring: Callable[[list[str]], None]) -> None:
    """Call `ring` with the names of inboxes as they grow, until cancelled.

    News that are lost with a connection are made up for by those who look again from time to time.
    """
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(NEWS_CHANNEL)
                while True:
                    message = await pubsub.get_message(timeout=LISTEN_S)
                    if message is not None:
                        ring(message["data"].decode().split())
        except Exception as error:  # redis-py lets others than its own out while a server goes away
            log.warning("news_interrupted", error=repr(error), retry_s=RECONNECT_S)
            await asyncio.sleep(RECONNECT_S)
