"""What each process of a region reports of its map and learned files, in Redis, so that all can tell differences."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kernel.contracts import redis_keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Wall seconds between two reports of a process: often enough to notice a new map at once, one small write each.
REPORT_EVERY_S = 2.0
#: A process that has not reported for so long has ended.
REPORT_KEPT_S = 15.0


class Reports:
    """What the processes of a region report of one subject, in a hash. The client must give bytes back."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._key = key

    async def tell(self, process: str, report: str) -> None:
        """Set the report of a process. Raises RedisError."""
        await self._redis.hset(self._key, process, f"{report}|{round(time.time() * 1e3)}")

    async def withdraw(self, process: str) -> None:
        """Delete the report of a process. Raises RedisError."""
        await self._redis.hdel(self._key, process)

    async def read(self) -> dict[str, str]:
        """Return the report of each process that runs, by its name; forgets those that ended. Raises RedisError."""
        reports = await self._redis.hgetall(self._key)
        now_ms = time.time() * 1e3
        read = {os.fsdecode(name): os.fsdecode(report).rpartition("|") for name, report in reports.items()}
        ended = [name for name, (_, _, at_ms) in read.items() if now_ms - int(at_ms or 0) > REPORT_KEPT_S * 1e3]
        if ended:
            await self._redis.hdel(self._key, *ended)
        return {name: said for name, (said, _, _) in sorted(read.items()) if name not in ended}


class MapReports(Reports):
    """Which map each process of a region has, by its id."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        super().__init__(redis, redis_keys.maps(region_id))


class AsideReports(Reports):
    """Which learned files each process of a region has set aside, and why."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        super().__init__(redis, redis_keys.learned_aside(region_id))


def process_name(role: str) -> str:
    """Return the name of this process in reports: its role, host and process id."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}"


def aside_text(note_of: Mapping[str, str]) -> str:
    """Say which processes have set which learned files aside; empty if none has."""
    return "; ".join(f"{name}: {note}" for name, note in note_of.items())


def apart(map_of: Mapping[str, str], own: str) -> str:
    """Say which processes have another map than ``own``; empty if none has."""
    others = [f"{name} has {map_id}" for name, map_id in map_of.items() if map_id != own]
    return f"{', '.join(others)}, not {own}" if others else ""
