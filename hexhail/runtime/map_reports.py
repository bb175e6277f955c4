"""Which map each process of a region has: said in Redis by all of them, so that each can tell who has another."""

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


class MapReports:
    """The reports of one region, in Redis. The client must give bytes back."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        self._redis = redis
        self._key = redis_keys.maps(region_id)

    async def tell(self, process: str, map_id: str) -> None:
        """Report the map that a process has. Raises RedisError."""
        await self._redis.hset(self._key, process, f"{map_id}|{round(time.time() * 1e3)}")

    async def read(self) -> dict[str, str]:
        """Return the map of each process that runs, by its name; forgets those that have ended. Raises RedisError."""
        reports = await self._redis.hgetall(self._key)
        now_ms = time.time() * 1e3
        read = {os.fsdecode(name): os.fsdecode(report).partition("|") for name, report in reports.items()}
        ended = [name for name, (_, _, at_ms) in read.items() if now_ms - int(at_ms or 0) > REPORT_KEPT_S * 1e3]
        if ended:
            await self._redis.hdel(self._key, *ended)
        return {name: map_id for name, (map_id, _, _) in sorted(read.items()) if name not in ended}


def process_name(role: str) -> str:
    """Return the name of this process in reports: its role, host and process id."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}"


def apart(map_of: Mapping[str, str], own: str) -> str:
    """Say which processes have another map than ``own``; empty if none has."""
    others = [f"{name} has {map_id}" for name, map_id in map_of.items() if map_id != own]
    return f"{', '.join(others)}, not {own}" if others else ""
