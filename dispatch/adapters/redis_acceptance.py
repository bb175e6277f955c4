"""Keeps the state of the acceptance model for the next matcher, and its figures for operators."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from dispatch.matching.answers import AnswersState
from dispatch.matching.calibration import AcceptanceFigures
from kernel.contracts import redis_keys


class RedisAnswersMemory:
    """`AnswersMemory` in one hash."""

    def __init__(self, redis: Redis, region_id: str) -> None:
        self._redis = redis
        self._key = redis_keys.acceptance(region_id)

    async def load(self) -> AnswersState | None:
        """See `AnswersMemory.load`."""
        packed: Any = await self._redis.hget(self._key, "state")
        if packed is None:
            return None
        try:
            return msgspec.msgpack.decode(packed, type=AnswersState)
        except msgspec.DecodeError as error:
            raise ValueError(f"{self._key} holds no state of this program: {error}") from error

    async def keep(self, state: AnswersState, figures: AcceptanceFigures) -> None:
        """See `AnswersMemory.keep`."""
        await self._redis.hset(
            self._key, mapping={"state": msgspec.msgpack.encode(state), "figures": msgspec.json.encode(figures)}
        )


async def read_figures(redis: Redis, region_id: str) -> AcceptanceFigures | None:
    """How good the forecasts are; None if the region's policy makes none."""
    line = await redis.hget(redis_keys.acceptance(region_id), "figures")
    return None if line is None else msgspec.json.decode(line, type=AcceptanceFigures)
