"""Opens Redis or Valkey by an address; the one place where a client is made."""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError

from backing.redis.address import RedisAddress, Topology
from backing.redis.cluster import ClusterClient

#: How long a call may take before it counts as failed; a round trip takes a millisecond.
TIMEOUT_S = 5.0
#: Connections of one process to one server; more calls than this at once wait for their turn.
CONNECTIONS_MAX = 64
#: The same where redis-py's pool does not wait, but fails: in a cluster for each node, and under sentinels.
CONNECTIONS_WITHOUT_WAITING_MAX = 256
#: Wall seconds that one sentinel may take to answer, before the next one is asked.
SENTINEL_TIMEOUT_S = 1.0
#: Attempts of a call after the first one: after a failover the first finds the old primary.
ATTEMPTS_AGAIN = 1


class RedisUnusable(Exception):
    """No server answers at the address, or not one that can be used by it; the message says what to do."""


async def open_redis(address: RedisAddress) -> Redis:
    """Return a client whose server has answered; it gives bytes back. Raises RedisUnusable.

    A client of a cluster has the same commands, but is no `Redis`: no MULTI, and all keys of a call in one slot.
    """
    redis = _client(address)
    try:
        await redis.ping()
        if address.topology is Topology.ONE and await _is_node_of_a_cluster(redis):
            raise RedisUnusable(f"{address} is a node of a cluster: name it as redis+cluster://HOST[:PORT],…")
    except (RedisError, OSError) as error:
        await redis.aclose()
        raise RedisUnusable(_why(address, error)) from error
    except RedisUnusable:
        await redis.aclose()
        raise
    return redis


def _client(address: RedisAddress) -> Redis:
    makers = {Topology.ONE: _of_one_server, Topology.CLUSTER: _of_cluster, Topology.SENTINEL: _of_sentinels}
    return makers[address.topology](address)


def _of_one_server(address: RedisAddress) -> Redis:
    where: dict[str, Any]
    if address.socket_path:
        where = {"connection_class": UnixDomainSocketConnection, "path": address.socket_path}
    else:
        [(host, port)] = address.hosts
        where = {"host": host, "port": port} | ({"connection_class": SSLConnection} if address.is_tls else {})
    arguments = where | _common(address) | dict(address.tls)
    pool = BlockingConnectionPool(max_connections=CONNECTIONS_MAX, timeout=TIMEOUT_S, db=address.db, **arguments)
    return Redis.from_pool(pool)


def _of_cluster(address: RedisAddress) -> Redis:
    arguments: dict[str, Any] = _common(address) | dict(address.tls)
    client = ClusterClient(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        # A region whose slot is served goes on while that of another is not.
        require_full_coverage=False,
        max_connections=CONNECTIONS_WITHOUT_WAITING_MAX,
        ssl=address.is_tls,
        **arguments,
    )
    return cast(Redis, client)


def _of_sentinels(address: RedisAddress) -> Redis:
    asking: dict[str, Any] = {
        "socket_timeout": SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "username": address.sentinel_username,
        "password": address.sentinel_password,
        "ssl": address.is_tls,
        **address.tls,
    }
    sentinel: Any = Sentinel(address.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(
        address.service,
        connection_pool_class=_SentinelPool,
        max_connections=CONNECTIONS_WITHOUT_WAITING_MAX,
        db=address.db,
        ssl=address.is_tls,
        **_common(address),
        **address.tls,
    )
    return client


class _SentinelPool(SentinelConnectionPool):
    """The pool of a primary; closes the connections to its sentinels with its own."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close the idle connections, or all of them and those to the sentinels."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


def _common(address: RedisAddress) -> dict[str, Any]:
    # redis-py's own ten attempts would hide an outage for seconds: whoever calls knows better what to do.
    return {
        "username": address.username,
        "password": address.password,
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": Retry(NoBackoff(), ATTEMPTS_AGAIN),
    }


async def _is_node_of_a_cluster(redis: Redis) -> bool:
    try:
        return bool((await redis.info("cluster")).get("cluster_enabled"))
    except NoPermissionError:  # a user who may not ask finds out by MOVED
        return False


def _why(address: RedisAddress, error: Exception) -> str:
    """One line for what redis-py said. Its words name hosts and ports, no passwords."""
    said = str(error).partition("\n")[0]
    if "Cluster mode is not enabled" in said:
        return f"{address} is no cluster: name a single server as redis://HOST[:PORT]"
    return f"Redis does not answer at {address} ({type(error).__name__}: {said})"
