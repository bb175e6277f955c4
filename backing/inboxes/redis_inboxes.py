"""Inboxes as Redis streams whose entry ids are the outbox positions."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from backing.outbox.rows import OutboxRow
from backing.outbox.set_aside import SetAside
from backing.redis.functions import LuaLibrary, RedisFunctions
from kernel.contracts import redis_keys

#: Entries kept per inbox; a client that was away for longer reads its rides through the API instead.
INBOX_ENTRIES_MAX = 1000
#: Wall seconds after which an inbox without new entries expires.
INBOX_KEPT_S = 7 * 86_400
#: Inboxes rebuilt in one round trip.
REBUILD_INBOXES = 500
#: Keys asked for, and deleted, in one round trip.
CLEAR_KEYS = 1000


class RedisInboxes:
    """`Inboxes` in Redis."""

    def __init__(self, redis: Redis, set_aside: SetAside | None = None) -> None:
        self._redis = redis
        self._set_aside = set_aside or SetAside()
        self._functions = RedisFunctions(redis, LuaLibrary.read("backing.inboxes", "inboxes.lua"))

    async def push(self, rows: Sequence[OutboxRow]) -> None:
        """See `Inboxes.push`.

        Redis refuses an id that is not greater than the last: what is there stays single. In one transaction, because
        of two rows where only the later is taken (memory ran out in between), the earlier could not follow. A key that
        holds something else than an inbox takes its own messages out of the way, and nobody else's.
        """
        names = sorted({name for row in rows for name in row.inboxes})
        pipeline, sent_to = self._redis.pipeline(transaction=True), list[str]()
        for row in rows:
            for name in row.inboxes:
                sent_to.append(name)
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
        answers = await pipeline.execute(raise_on_error=False)
        no_inbox = Counter(name for name, answer in zip(sent_to, answers, strict=False) if _is_no_inbox(answer))
        for name, messages in sorted(no_inbox.items()):
            self._set_aside.inbox(name, messages, f"the key {redis_keys.inbox(name)} holds no stream: delete it")
        _raise_refusals(
            [*(answer for answer in answers[: len(sent_to)] if not _is_no_inbox(answer)), *answers[len(sent_to) :]]
        )

    async def newest(self) -> int | None:
        """See `Inboxes.newest`."""
        entries: list[Any] = await self._redis.xrevrange(redis_keys.INBOXES_COMPLETE, count=1) or []
        return position_of(entries[0][0]) if entries else None

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

    async def clear(self) -> None:
        """See `Inboxes.clear`.

        The position goes last: who dies in the middle has not cleared them. With it comes the mark of a restoration.
        """
        some: list[bytes] = []
        async for key in self._redis.scan_iter(match=redis_keys.inbox("*"), count=CLEAR_KEYS):
            some.append(key)
            if len(some) >= CLEAR_KEYS:
                await self._redis.unlink(*some)
                some.clear()
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.unlink(*some, redis_keys.INBOXES_COMPLETE)
        pipeline.set(redis_keys.INBOXES_RESTORED, uuid.uuid4().hex)
        await pipeline.execute()


def _entries(rows: Sequence[OutboxRow]) -> list[str | int | bytes]:
    """Arguments of `hexhail_inbox_rebuild`."""
    arguments: list[str | int | bytes] = [INBOX_ENTRIES_MAX, INBOX_KEPT_S]
    for row in rows[-INBOX_ENTRIES_MAX:]:
        arguments += (f"{row.position}-0", row.payload)
    return arguments


def position_of(entry_id: bytes) -> int:
    """The outbox position in the id of an entry."""
    return int(entry_id.split(b"-")[0])


def _raise_refusals(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception) and not _is_there_already(answer):
            raise answer


def _is_no_inbox(answer: object) -> bool:
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


def _is_there_already(answer: Exception) -> bool:
    return isinstance(answer, ResponseError) and "equal or smaller" in str(answer)
