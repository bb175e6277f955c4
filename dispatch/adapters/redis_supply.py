"""Reads where the drivers are from the cells in Redis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from redis.asyncio import Redis

from backing.left_out import LeftOut
from dispatch.ports import Positions
from geo.positions import UNKNOWN_HEADING, newest_positions
from kernel.contracts import redis_keys


class RedisSupply:
    """`Supply` of one region: all its cells in one pipeline, one decoding."""

    def __init__(self, redis: Redis, region_id: str, cells: Sequence[str], left_out: LeftOut | None = None) -> None:
        self._redis = redis
        self._region = region_id
        self._left_out = left_out or LeftOut("driver")
        self._keys = [redis_keys.cell(region_id, cell) for cell in cells]

    async def positions(self) -> Positions:
        """See `Supply.positions`."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in self._keys:
            pipeline.hgetall(key)
        buckets: list[dict[bytes, bytes]] = await pipeline.execute()
        driver_id, packed, left_out = newest_positions([entry for bucket in buckets for entry in bucket.items()])
        self._left_out.tell(self._region, left_out)
        heading_cdeg = packed["heading_cdeg"]
        return Positions(
            driver_id=driver_id,
            lat_deg=packed["lat_e7"] / 1e7,
            lng_deg=packed["lng_e7"] / 1e7,
            heading_deg=np.where(heading_cdeg == UNKNOWN_HEADING, np.nan, heading_cdeg / 100),
            t_s=packed["t_ms"] / 1e3,
        )
