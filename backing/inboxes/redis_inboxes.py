"""Inboxes as Redis streams whose entry ids are the outbox positions.

They are shared out among buckets, each in one slot of a cluster, with its own position up to which it is complete: a
server that lost its newest writes shows in its buckets alone.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from redis.asyncio import Redis

from backing.outbox.rows import OutboxRow
from backing.outbox.set_aside import SetAside
from backing.redis.cluster import ClusterClient
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


INBOXES_LIBRARY = LuaLibrary.read("backing.inboxes", "inboxes.lua")


class InboxesBehind(Exception):
    """Redis has lost messages since somebody looked: they must be built anew before any more is pushed."""


class RedisInboxes:
    """`Inboxes` in Redis."""

    def __init__(self, redis: Redis, set_aside: SetAside | None = None) -> None:
        self._redis = redis
        self._set_aside = set_aside or SetAside()
        self._functions = RedisFunctions(redis, INBOXES_LIBRARY)
        self._groups = bucket_groups(redis)

    async def push(self, rows: Sequence[OutboxRow]) -> None:
        """See `Inboxes.push`. Raises what redis-py raises, and InboxesBehind; then all may be pushed again.

        Redis refuses an id that is not greater than the last: what is there stays single. A bucket takes all of its
        messages or none, because of two where only the later is taken (memory ran out in between), the earlier could
        not follow. A key that holds something else than an inbox takes its own messages out of the way, and nobody
        else's. Every bucket is told how far the batch goes, also one without a message in it.
        """
        messages = _by_bucket(rows)
        calls = [_PushCall(buckets, messages) for buckets in self._groups]
        answers = await self._functions.call_many("hexhail_inbox_push", [call.words(rows) for call in calls])
        for call, no_inbox in zip(calls, answers, strict=True):
            for place, count in sorted(Counter(no_inbox or ()).items()):
                key = redis_keys.inbox(name := call.name_at(place))
                self._set_aside.inbox(name, count, f"the key {key} holds no stream: delete it")
        if None in answers:
            raise InboxesBehind(f"inboxes lack what was before position {rows[0].position}: they are built anew")

    async def newest(self) -> int | None:
        """See `Inboxes.newest`: what the bucket that is least complete has."""
        return await newest_of(self._functions, self._groups)

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
        arguments: list[str | int | bytes] = [claim, rows[-1].position if rows else 0]
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


def bucket_groups(redis: Redis) -> list[range]:
    """The buckets that one call may concern together: each alone on a cluster, all of them on a single server."""
    if isinstance(redis, ClusterClient):
        return [range(bucket, bucket + 1) for bucket in range(redis_keys.INBOX_BUCKETS)]
    return [range(redis_keys.INBOX_BUCKETS)]


async def newest_of(functions: RedisFunctions, groups: Sequence[range]) -> int | None:
    """The least position up to which buckets are complete; None if that of one is not known."""
    calls: list[tuple[Keys, Arguments]] = [
        ([redis_keys.inboxes_complete(bucket) for bucket in group], ()) for group in groups
    ]
    positions = await functions.call_many("hexhail_inbox_newest", calls)
    return None if None in positions else min(int(position) for position in positions)


def _by_bucket(rows: Sequence[OutboxRow]) -> dict[int, list[tuple[str, OutboxRow]]]:
    """(name of an inbox, row) of the messages to each bucket, in order."""
    messages: dict[int, list[tuple[str, OutboxRow]]] = {}
    for row in rows:
        for name in row.inboxes:
            messages.setdefault(redis_keys.inbox_bucket(name), []).append((name, row))
    return messages


class _PushCall:
    """A call of `hexhail_inbox_push` for some buckets."""

    def __init__(self, buckets: range, messages: Mapping[int, Sequence[tuple[str, OutboxRow]]]) -> None:
        self._buckets = buckets
        self._messages = [message for bucket in buckets for message in messages.get(bucket, ())]
        self._names = sorted({name for name, _ in self._messages})

    def name_at(self, place: int) -> str:
        """The inbox at a place among the keys, from 1."""
        return self._names[place - 1 - len(self._buckets)]

    def words(self, rows: Sequence[OutboxRow]) -> tuple[Keys, Arguments]:
        """Keys and arguments."""
        keys = [*map(redis_keys.inboxes_complete, self._buckets), *map(redis_keys.inbox, self._names)]
        place_of = {name: place for place, name in enumerate(self._names, len(self._buckets) + 1)}
        arguments: list[str | int | bytes] = [len(self._buckets), INBOX_ENTRIES_MAX, INBOX_KEPT_S]
        arguments += (redis_keys.INBOX_NEWS, " ".join(self._names), rows[0].position - 1, rows[-1].position)
        for name, row in self._messages:
            arguments += (place_of[name], f"{row.position}-0", row.payload)
        return keys, arguments


def _entries(rows: Sequence[OutboxRow]) -> list[str | int | bytes]:
    """Arguments of `hexhail_inbox_rebuild`."""
    arguments: list[str | int | bytes] = [INBOX_ENTRIES_MAX, INBOX_KEPT_S]
    for row in rows[-INBOX_ENTRIES_MAX:]:
        arguments += (f"{row.position}-0", row.payload)
    return arguments


def position_of(entry_id: bytes) -> int:
    """The outbox position in the id of an entry."""
    return int(entry_id.split(b"-")[0])
