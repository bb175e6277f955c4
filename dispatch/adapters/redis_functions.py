"""Calling a Redis function whose library may have to be loaded first."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError


class FunctionLibrary:
    """A Lua library beside this file; loaded on first use, and again by a server that has lost it."""

    def __init__(self, redis: Redis, file_name: str) -> None:
        self._redis = redis
        self._code = files("dispatch.adapters").joinpath(file_name).read_text(encoding="utf-8")

    async def call(self, function: str, keys: list[str], arguments: list[str | int | bytes]) -> Any:
        """FCALL; raises what redis-py raises."""
        try:
            return await self._redis.fcall(function, len(keys), *keys, *arguments)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        await self._redis.function_load(self._code, replace=True)
        return await self._redis.fcall(function, len(keys), *keys, *arguments)
