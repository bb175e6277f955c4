"""Inboxes as Redis streams whose entry ids are the outbox positions."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import stamina
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from backing.redis.functions import LuaLibrary, RedisFunctions
from dispatch.ports import OutboxRow
from kernel.contracts import redis_keys

#: Wall seconds of one wait for news, and before a lost connection is made anew.
LISTEN_S = 3.0
RECONNECT_S = 0.5
#: Entries kept per inbox: a client that was away for longer reads its rides instead.
INBOX_ENTRIES_MAX = 1000
#: Wall seconds after which an inbox without news goes: whoever comes back later reads the rides instead.
INBOX_KEPT_S = 7 * 86_400
#: Inboxes rebuilt in one round trip.
REBUILD_INBOXES = 500


class RedisInboxes:
    """`Inboxes` in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._functions = RedisFunctions(redis, LuaLibrary.read("dispatch.adapters", "inboxes.lua"))

    async def push(self, rows: Sequence[OutboxRow]) -> None:
        """See `Inboxes.push`.

        Redis refuses an id that is not greater than the last: what is there stays single. In one transaction, because
        of two rows where only the later is taken (memory ran out in between), the earlier could not follow.
        """
        names = sorted({name for row in rows for name in row.inboxes})
        pipeline = self._redis.pipeline(transaction=True)
        for row in rows:
            for name in row.inboxes:
                pipeline.xadd(
                    redis_keys.inbox(name),
                    {"payload": row.payload},
                    id=f"{row.position}-0",
                    maxlen=INBOX_ENTRIES_MAX,
                    approximate=True,
                )
        for name in names:
            pipeline.expire(redis_keys.inbox(name), INBOX_KEPT_S)
        position = f"{rows[-1].position}-0"
        pipeline.xadd(redis_keys.INBOXES_COMPLETE, {"": ""}, id=position, maxlen=1, approximate=False, nomkstream=True)
        pipeline.publish(redis_keys.INBOX_NEWS, " ".join(names))
        _raise_refusals(await pipeline.execute(raise_on_error=False))

    async def newest(self) -> int | None:
        """See `Inboxes.newest`."""
        entries: list[Any] = await self._redis.xrevrange(redis_keys.INBOXES_COMPLETE, count=1) or []
        return _position(entries[0][0]) if entries else None

    async def rebuild(self, read: Callable[[], Awaitable[Sequence[OutboxRow]]]) -> None:
        """See `Inboxes.rebuild`.

        Each inbox is replaced in one step, so that no reader sees half of it. If Redis forgets again before the end,
        it forgets the claim too, and the inboxes do not count as complete. Rows are read after the claim: they hold
        all that was pushed before Redis forgot.
        """
        claim = uuid.uuid4().hex
        await self._redis.set(redis_keys.INBOXES_REBUILDING, claim)
        rows = await read()
        by_name: dict[str, list[OutboxRow]] = {}
        for row in rows:
            for name in row.inboxes:
                by_name.setdefault(name, []).append(row)
        names = sorted(by_name)
        for start in range(0, len(names), REBUILD_INBOXES):
            some = names[start : start + REBUILD_INBOXES]
            await self._functions.call_many(
                "hexhail_inbox_rebuild", [([redis_keys.inbox(name)], _entries(by_name[name])) for name in some]
            )
        # Redis knows no entry 0-0, and before the first event there is no position.
        complete_to = f"{rows[-1].position}-0" if rows else "0-1"
        keys = redis_keys.INBOXES_COMPLETE, redis_keys.INBOXES_REBUILDING
        await self._functions.call("hexhail_inbox_complete", keys, [claim, complete_to])


def _entries(rows: Sequence[OutboxRow]) -> list[str | int | bytes]:
    """Arguments of `hexhail_inbox_rebuild`."""
    arguments: list[str | int | bytes] = [INBOX_ENTRIES_MAX, INBOX_KEPT_S]
    for row in rows[-INBOX_ENTRIES_MAX:]:
        arguments += (f"{row.position}-0", row.payload)
    return arguments


def _position(entry_id: bytes) -> int:
    return int(entry_id.split(b"-")[0])


def _raise_refusals(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception) and not _is_there_already(answer):
            raise answer


def _is_there_already(answer: Exception) -> bool:
    return isinstance(answer, ResponseError) and "equal or smaller" in str(answer)


class RedisInboxReader:
    """Reads inboxes, for the edges."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, name: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """(position, JSON event) of what came after a position, in order."""
        return (await self.read_many({name: after}, limit)).get(name, [])

    async def read_many(self, after: Mapping[str, int], limit: int) -> dict[str, list[tuple[int, bytes]]]:
        """The same of each inbox that has anything after its position, in one question."""
        keys = {redis_keys.inbox(name).encode(): name for name in after}
        wanted: dict[Any, Any] = {key: f"{after[name]}-0" for key, name in keys.items()}
        found: Any = await self._redis.xread(wanted, count=limit) or []
        # Pairs in one version of the protocol; a mapping, with one more list around, in the other.
        pairs = [(key, lists[0]) for key, lists in found.items()] if isinstance(found, dict) else found
        return {
            keys[key]: [(_position(entry_id), fields[b"payload"]) for entry_id, fields in entries]
            for key, entries in pairs
        }


async def listen_for_news(redis: Redis, ring: Callable[[list[str]], None]) -> None:
    """Call `ring` with the names of inboxes as they grow, until cancelled.

    News that are lost with a connection do no harm: the streams also look at their inboxes from time to time.
    """

    # Exception: redis-py lets others than its own out while a server goes away.
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
