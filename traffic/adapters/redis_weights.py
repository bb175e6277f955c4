"""The weights in force of a region, in Redis or Valkey: written by the role traffic, read by matcher and API."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from redis.asyncio import Redis

from backing.redis.functions import LuaLibrary, RedisFunctions
from geo.arrays import FloatArray
from geo.roads.graph import RoadGraph, roads_sha256
from kernel.contracts import redis_keys
from traffic.model import Evidence, Refusal, TrafficFigures, Weights
from traffic.ports import WeightsUnusable

#: Three significant digits would do; half the bytes of doubles.
_FACTOR = np.dtype("<f4")
_REFUSED = "refused:"


class _Last(msgspec.Struct, frozen=True):
    """The last judgement, as it is stored."""

    judged_ms: int
    refusal: str | None
    evidence: Evidence


class RedisWeights:
    """`WeightsStore` for the roads of one region. The client must give bytes back."""

    def __init__(self, redis: Redis, region_id: str, graph: RoadGraph) -> None:
        self._redis: Any = redis
        self._key = redis_keys.traffic(region_id)
        self._roads = roads_sha256(graph)
        self._edges = graph.edge_count
        self._functions = RedisFunctions(redis, LuaLibrary.read("traffic.adapters", "weights.lua"))

    async def stamp(self) -> tuple[int, int] | None:
        """See `WeightsReads.stamp`."""
        epoch, version = await self._redis.hmget(self._key, ["epoch", "version"])
        return None if epoch is None or version is None else (int(epoch), int(version))

    async def read(self) -> Weights | None:
        """See `WeightsReads.read`."""
        names = ["epoch", "version", "made_ms", "roads", "factors"]
        epoch, version, made_ms, roads, factors = await self._redis.hmget(self._key, names)
        if factors is None:
            return None
        if roads.decode() != self._roads or len(factors) != self._edges * _FACTOR.itemsize:
            raise WeightsUnusable("the weights in Redis are of other roads than those of the city's folder")
        factor = np.frombuffer(factors, _FACTOR).astype(np.float64)
        if not (np.isfinite(factor) & (factor > 0.0)).all():
            raise WeightsUnusable("the weights in Redis hold factors that are not positive numbers")
        return Weights(int(version), int(epoch), int(made_ms) / 1e3, factor)

    async def claim(self) -> int:
        """See `WeightsStore.claim`."""
        return int(await self._functions.call("hexhail_traffic_claim", (self._key,), ()))

    async def put(self, epoch: int, factor: FloatArray, now_s: float, evidence: Evidence) -> int | None:
        """See `WeightsStore.put`."""
        made_ms, last = round(now_s * 1e3), _encoded(now_s, None, evidence)
        arguments = (epoch, made_ms, self._roads, factor.astype(_FACTOR).tobytes(), last)
        version = int(await self._functions.call("hexhail_traffic_put", (self._key,), arguments))
        return version or None

    async def note_refusal(self, epoch: int, refusal: Refusal, now_s: float, evidence: Evidence) -> None:
        """See `WeightsStore.note_refusal`."""
        arguments = (epoch, refusal.value, _encoded(now_s, refusal, evidence))
        await self._functions.call("hexhail_traffic_refuse", (self._key,), arguments)


async def read_figures(redis: Any, region_id: str) -> TrafficFigures:
    """Return what operators see of a region, without reading the weights themselves."""
    key = redis_keys.traffic(region_id)
    names = [name for name in await redis.hkeys(key) if name != b"factors"]
    values = await redis.hmget(key, names) if names else []
    found = {name.decode(): value for name, value in zip(names, values, strict=True) if value is not None}
    last = msgspec.json.decode(found["last"], type=_Last) if "last" in found else None
    refused = {name.removeprefix(_REFUSED): int(count) for name, count in found.items() if name.startswith(_REFUSED)}
    return TrafficFigures(
        version=int(found.get("version", 0)),
        epoch=int(found.get("epoch", 0)),
        made_s=int(found["made_ms"]) / 1e3 if "made_ms" in found else None,
        judged_s=last.judged_ms / 1e3 if last else None,
        refusal=last.refusal if last else None,
        evidence=last.evidence if last else None,
        refused=dict(sorted(refused.items())),
    )


def _encoded(now_s: float, refusal: Refusal | None, evidence: Evidence) -> bytes:
    return msgspec.json.encode(_Last(round(now_s * 1e3), refusal.value if refusal else None, evidence))
