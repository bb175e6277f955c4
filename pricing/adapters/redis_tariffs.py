"""Keeps in Redis every version of a region's tariff that a quote was given by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog

from kernel.contracts import redis_keys
from pricing.model.tariff import Tariff

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)


class RedisTariffs:
    """A hash of version -> the tariff as JSON. A version never changes, so it is kept once it was read."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        self._redis = redis
        self._key = redis_keys.tariffs(region_id)
        self._known: dict[str, Tariff] = {}

    async def keep(self, tariff: Tariff) -> None:
        """Keep the version for as long as rides may ask for it. Raises what Redis raises."""
        await self._redis.hset(self._key, tariff.version, msgspec.json.encode(tariff))
        self._known[tariff.version] = tariff

    async def find(self, version: str) -> Tariff | None:
        """The tariff of a version; None if nobody kept it or this release cannot read it. Raises what Redis raises."""
        if version not in self._known:
            kept = await self._redis.hget(self._key, version)
            if kept is None:
                return None
            try:
                self._known[version] = msgspec.json.decode(kept, type=Tariff)
            except msgspec.DecodeError as error:  # of another release: the quote's price stands
                log.warning("tariff_not_read", version=version, error=str(error))
                return None
        return self._known[version]
