"""Inboxes as Redis streams whose entry ids are the outbox positions.

They are shared out among buckets, each in one slot of a cluster, with its own position up to which it is complete: a
server that lost its newest writes shows in its buckets alone.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from backing.outbox.rows import OutboxRow
from backing.outbox.set_aside import SetAside
from backing.redis.functions import Arguments, Keys, LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys

#: Entries kept per inbox; a client that was away for longer reads its rides through the API instead.
INBOX_ENTRIES_MAX = 1000
#: Wall seconds after which an inbox without new entries expires.
INBOX_KEPT_S = 7 * 86_400
#: Inboxes rebuilt in one round trip.
REBUILD_INBOXES = 500
#: Keys asked for, and deleted, in one round trip.
CLEAR_KEYS = 1000


class InboxesBehind(Exception):
    """Redis has lost messages since somebody looked: they must be built anew before any more is pushed."""


class RedisInboxes:
    """`Inboxes` in Redis."""

    def __init__(self, redis: Redis, set_aside: SetAside | None = None) -> None:
        self._redis = redis
        self._set_aside = set_aside or SetAside()
        self._functions = RedisFunctions(redis, LuaLibrary.read("backing.inboxes", "inboxes.lua"))

    async def push(self, rows: Sequence[OutboxRow]) -> None:
        """See `Inboxes.push`. Raises what redis-py raises, and InboxesBehind; then all may be pushed again.

        Redis refuses an id that is not greater than the last: what is there stays single. A bucket takes all of its
        messages or none, because of two where only the later is taken (memory ran out in between), the earlier could
        not follow. A key that holds something else than an inbox takes its own messages out of the way, and nobody
        else's. Every bucket is told how far the batch goes, also one without a message in it.
        """
        names_of, messages_of = _by_bucket(rows)
        calls = [
            _push_call(bucket, names_of[bucket], messages_of[bucket], rows)
            for bucket in range(redis_keys.INBOX_BUCKETS)
        ]
        answers = await self._functions.call_many("hexhail_inbox_push", calls)
        behind = [bucket for bucket, no_inbox in enumerate(answers) if no_inbox is None]
        for bucket, no_inbox in enumerate(answers):
            for place, messages in sorted(Counter(no_inbox or ()).items()):
                name = names_of[bucket][place - 2]
                self._set_aside.inbox(name, messages, f"the key {redis_keys.inbox(name)} holds no stream: delete it")
        if behind:
            raise InboxesBehind(f"{len(behind)} inbox buckets lack what was before position {rows[0].position}")

    async def newest(self) -> int | None:
        """See `Inboxes.newest`: what the bucket that is least complete has."""
        pipeline = self._redis.pipeline(transaction=False)
        for bucket in range(redis_keys.INBOX_BUCKETS):
            pipeline.xrevrange(redis_keys.inboxes_complete(bucket), count=1)
        return newest_of(await pipeline.execute())

    async def rebuild(self, read: Callable[[], Awaitable[Sequence[OutboxRow]]]) -> None:
        """See `Inboxes.rebuild`.

        Each inbox is replaced in one step, so that no reader sees half of it. If a server forgets again before the
        end, it forgets its claims too, and its buckets do not count as complete. Rows are read after the claims: they
        hold all that was pushed before Redis forgot. Inboxes without a bucket, of a version before, go at the end.
        """
        claim, buckets = uuid.uuid4().hex, range(redis_keys.INBOX_BUCKETS)
        pipeline = self._redis.pipeline(transaction=False)
        for bucket in buckets:
            pipeline.set(redis_keys.inboxes_rebuilding(bucket), claim)
        await pipeline.execute()
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
        arguments = [claim, f"{rows[-1].position}-0" if rows else "0-1"]
        keys = [(redis_keys.inboxes_complete(bucket), redis_keys.inboxes_rebuilding(bucket)) for bucket in buckets]
        await self._functions.call_many("hexhail_inbox_complete", [(pair, arguments) for pair in keys])
        await self._redis.unlink(redis_keys.UNBUCKETED_INBOXES_COMPLETE)

    async def clear(self) -> None:
        """See `Inboxes.clear`.

        The positions go last: who dies in the middle has not cleared them. The mark of a restoration comes before:
        streams that are open are told of one more than there was rather than of none.
        """
        some: list[bytes] = []
        async for key in self._redis.scan_iter(match=redis_keys.INBOXES_MATCH, count=CLEAR_KEYS):
            some.append(key)
            if len(some) >= CLEAR_KEYS:
                await self._unlink(some)
                some.clear()
        await self._unlink(some)
        await self._redis.set(redis_keys.INBOXES_RESTORED, uuid.uuid4().hex)
        await self._unlink([redis_keys.inboxes_complete(bucket) for bucket in range(redis_keys.INBOX_BUCKETS)])

    async def _unlink(self, keys: Sequence[str | bytes]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("UNLINK", key)
        await pipeline.execute()


def _by_bucket(rows: Sequence[OutboxRow]) -> tuple[list[list[str]], list[list[tuple[str, OutboxRow]]]]:
    """For each bucket the names of its inboxes that the rows grow, sorted, and (name, row) of its messages in order."""
    messages_of: list[list[tuple[str, OutboxRow]]] = [[] for _ in range(redis_keys.INBOX_BUCKETS)]
    for row in rows:
        for name in row.inboxes:
            messages_of[redis_keys.inbox_bucket(name)].append((name, row))
    return [sorted({name for name, _ in messages}) for messages in messages_of], messages_of


def _push_call(
    bucket: int, names: Sequence[str], messages: Sequence[tuple[str, OutboxRow]], rows: Sequence[OutboxRow]
) -> tuple[Keys, Arguments]:
    """Keys and arguments of `hexhail_inbox_push`."""
    keys = [redis_keys.inboxes_complete(bucket), *map(redis_keys.inbox, names)]
    place_of = {name: place for place, name in enumerate(names, 2)}
    arguments: list[str | int | bytes] = [INBOX_ENTRIES_MAX, INBOX_KEPT_S, redis_keys.INBOX_NEWS, " ".join(names)]
    arguments += (rows[0].position - 1, f"{rows[-1].position}-0")
    for name, row in messages:
        arguments += (place_of[name], f"{row.position}-0", row.payload)
    return keys, arguments


def _entries(rows: Sequence[OutboxRow]) -> list[str | int | bytes]:
    """Arguments of `hexhail_inbox_rebuild`."""
    arguments: list[str | int | bytes] = [INBOX_ENTRIES_MAX, INBOX_KEPT_S]
    for row in rows[-INBOX_ENTRIES_MAX:]:
        arguments += (f"{row.position}-0", row.payload)
    return arguments


def newest_of(last_entries: Sequence[Any]) -> int | None:
    """The least position among the last entries of `inboxes_complete` of all buckets; None if one has none."""
    if not all(last_entries):
        return None
    return min(position_of(entries[0][0]) for entries in last_entries)


def position_of(entry_id: bytes) -> int:
    """The outbox position in the id of an entry."""
    return int(entry_id.split(b"-")[0])
