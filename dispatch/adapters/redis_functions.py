"""Calling Redis functions whose library may have to be loaded first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

T = TypeVar("T")


class FunctionLibrary:
    """A Lua library beside this file; loaded on first use, and again into a server that has lost it."""

    def __init__(self, redis: Redis, file_name: str) -> None:
        self._redis = redis
        self._code = files("dispatch.adapters").joinpath(file_name).read_text(encoding="utf-8")
        self._is_loaded = False

    async def call(self, function: str, keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        """FCALL; raises what redis-py raises."""
        return await self._with_library(lambda: self._redis.fcall(function, len(keys), *keys, *arguments))

    async def call_many(self, function: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int | bytes]]]) -> Any:
        """FCALL with each of (keys, arguments) in one round trip. Raises what redis-py raises, after all of them."""

        def call() -> Awaitable[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for keys, arguments in calls:
                pipeline.fcall(function, len(keys), *keys, *arguments)
            return pipeline.execute()

        return await self._with_library(call)

    async def _with_library(self, call: Callable[[], Awaitable[T]]) -> T:
        # A server keeps libraries over its restarts and ours: the one it has may be of an older version.
        if not self._is_loaded:
            await self._load()
        try:
            return await call()
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        await self._load()
        return await call()

    async def _load(self) -> None:
        await self._redis.function_load(self._code, replace=True)
        self._is_loaded = True
