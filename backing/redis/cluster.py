"""A client of a cluster that tells outages as redis-py does for one server, and refuses what does not work there."""

from __future__ import annotations

from typing import Any

from redis.asyncio.cluster import ClusterPipeline, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, ResponseError, SlotNotCoveredError

#: Raised, beside RedisError, while a node goes away: by redis-py's connections, of which one closes under another's
#: hands (redis-py 8.1: "'NoneType' object has no attribute 'writelines'").
_LEAKED = (AttributeError, SlotNotCoveredError)


class ClusterClient(RedisCluster):
    """RedisCluster whose outages are RedisError, and whose functions are routed without a question to a server."""

    async def initialize(self, *args: Any, **kwargs: Any) -> ClusterClient:
        """Ask a node for the cluster's slots, if they are not known. Raises redis-py's ConnectionError."""
        try:
            await super().initialize(*args, **kwargs)
        except (RedisClusterException, AttributeError) as error:
            raise RedisConnectionError(str(error)) from error
        return self

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command to the node of its keys. Raises RedisError and OSError only."""
        try:
            return await super().execute_command(*args, **kwargs)
        except _LEAKED as error:
            raise RedisConnectionError(f"the node of the key is away: {error}") from error

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        """Gather commands for one round trip to each node.

        Raises ValueError for a transaction: redis-py (8.1) runs each of its commands by `asyncio.run` in a thread of
        its own, which blocks this loop and leaves connections of a loop that is gone. What must be atomic is a
        function of one slot.
        """
        if transaction:
            raise ValueError("no MULTI on a cluster: write a function, and call it by RedisFunctions")
        return _Pipeline(self)  # type: ignore[abstract]  # redis-py's own is made like this

    async def _determine_slot(self, command: str, *args: Any) -> int:
        """The slot of a command's keys.

        redis-py sends FCALL and XREAD whole to a server first, to be told which of their words are keys.
        """
        keys = _named_keys(command, args)
        if not keys:
            return int(await super()._determine_slot(command, *args))
        slots = {int(self.keyslot(key)) for key in keys}
        if len(slots) > 1:
            raise ResponseError(f"CROSSSLOT the keys of {command} lie in several slots: {keys[:3]}")
        return slots.pop()


class _Pipeline(ClusterPipeline):
    """ClusterPipeline whose outages are RedisError."""

    async def execute(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Send what was gathered; see redis-py. Raises RedisError and OSError only."""
        try:
            return list(await super().execute(*args, **kwargs))
        except _LEAKED as error:
            raise RedisConnectionError(f"a node of the keys is away: {error}") from error


def _named_keys(command: str, args: tuple[Any, ...]) -> list[Any]:
    """The keys of a command that says itself how many it has; empty for others."""
    if command == "FCALL":
        return list(args[2 : 2 + int(args[1])])
    if command == "XREAD":
        words = [word.upper() if isinstance(word, str) else word for word in args]
        streams = args[1 + next(at for at, word in enumerate(words) if word in ("STREAMS", b"STREAMS")) :]
        return list(streams[: len(streams) // 2])
    return []
