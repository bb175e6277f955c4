"""Every adapter on a real cluster of three nodes, its functions on each of them, and what does not work there."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from backing.inboxes.redis_inboxes import InboxesBehind, RedisInboxes
from backing.inboxes.redis_reader import RedisInboxReader, listen_for_news
from backing.outbox.rows import OutboxRow
from backing.probes import probe_redis
from backing.redis.address import parse_address
from backing.redis.functions import libraries_of, other_versions, remove_libraries
from backing.redis.opening import RedisUnusable, open_redis
from dispatch.adapters.redis_leases import RedisLeases
from dispatch.adapters.redis_supply import RedisSupply
from dispatch.adapters.redis_traces import RedisTraceLog
from dispatch.matching.reasons import RideTrace
from hexhail.runtime import doctor
from hexhail.runtime.doctor import FUNCTION_PACKAGES
from hexhail.runtime.settings import Settings
from kernel.contracts import redis_keys
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.adapters.redis_samples import RedisSamples
from location_ingest.adapters.redis_standings import RedisStandings
from location_ingest.model import Reason, UnbelievedPing
from pricing.adapters.redis_signals import RedisSignals
from tests.backing.test_redis_functions import CELL, SHIPPED, Shipped, put_a_position
from tests.kernel.test_redis_keys import KEYS
from tests.patience import eventually
from tests.valkey.servers import SLOTS, ValkeyCluster, ValkeyNode

#: Enough people for inboxes in every bucket.
PEOPLE = [f"rider:r{n}" for n in range(400)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start(has_replicas=False)
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
async def redis(cluster: ValkeyCluster) -> AsyncIterator[Redis]:
    """A client of the cluster, without data and without functions."""
    for node in cluster.primaries:
        node.ask("FLUSHALL")
        node.ask("FUNCTION", "FLUSH")
    client = await open_redis(parse_address(cluster.url))
    yield client
    await client.aclose()


def row(position: int, *inboxes: str) -> OutboxRow:
    return OutboxRow("ride.events", "ride", position, "grid", inboxes, f'{{"n":{position}}}', position=position)


def reading(rows: list[OutboxRow]) -> Any:
    async def read() -> list[OutboxRow]:
        return rows

    return read


# -- keys --------------------------------------------------------------------------------------------------------------


def test_all_keys_of_a_region_are_in_one_slot_and_those_of_an_inbox_bucket_too() -> None:
    of_region = {name: key for function, key in KEYS.items() if (name := function.__name__) and "{r}" in str(key)}
    assert len(of_region) > 20
    assert {key_slot(key.encode()) for key in of_region.values()} == {key_slot(b"r")}
    for function in KEYS:
        assert "region_id" not in inspect.signature(function).parameters or function.__name__ in of_region
    for name in PEOPLE:
        bucket = redis_keys.inbox_bucket(name)
        keys = redis_keys.inbox(name), redis_keys.inboxes_complete(bucket), redis_keys.inboxes_rebuilding(bucket)
        assert len({key_slot(key.encode()) for key in keys}) == 1
    tokens = redis_keys.REVOKED, redis_keys.REVOKED_UNTIL, redis_keys.REVOKED_VERSION
    assert len({key_slot(key.encode()) for key in tokens}) == 1


def test_inbox_buckets_spread_over_the_slots() -> None:
    assert {redis_keys.inbox_bucket(name) for name in PEOPLE} == set(range(redis_keys.INBOX_BUCKETS))
    slots = [key_slot(redis_keys.inboxes_complete(bucket).encode()) for bucket in range(redis_keys.INBOX_BUCKETS)]
    for nodes in (3, 6):
        count = np.bincount([slot * nodes // SLOTS for slot in slots], minlength=nodes)
        assert count.min() >= redis_keys.INBOX_BUCKETS // nodes // 2


# -- adapters ----------------------------------------------------------------------------------------------------------


@pytest.mark.servers
@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda one: one.file_name)
async def test_a_function_that_ships_answers_on_a_cluster_and_again_after_a_node_lost_it(
    redis: Redis, cluster: ValkeyCluster, shipped: Shipped
) -> None:
    call = await shipped.adapter(redis)
    assert await call(0) == shipped.answers[0]
    for node in cluster.primaries:
        node.ask("FUNCTION", "FLUSH")
    assert await call(1) == shipped.answers[1]


@pytest.mark.servers
async def test_inboxes_are_pushed_read_rebuilt_and_cleared_over_all_nodes(redis: Redis) -> None:
    inboxes, reader = RedisInboxes(redis), RedisInboxReader(redis)
    await inboxes.rebuild(reading([row(n + 1, name) for n, name in enumerate(PEOPLE)]))
    assert await inboxes.newest() == len(PEOPLE)
    await inboxes.push([row(len(PEOPLE) + 1, *PEOPLE[:3]), row(len(PEOPLE) + 2, PEOPLE[0])])
    assert await inboxes.newest() == len(PEOPLE) + 2
    found = await reader.read_many(dict.fromkeys(PEOPLE, 0), 10)
    assert [position for position, _ in found[PEOPLE[0]]] == [1, 401, 402]
    assert {name: [position for position, _ in page] for name, page in found.items() if name not in PEOPLE[:3]} == {
        name: [n + 1] for n, name in enumerate(PEOPLE) if n >= 3
    }
    assert await reader.look([(PEOPLE[0], 401), (PEOPLE[5], 401)]) == (402, None, {(PEOPLE[0], 401)})
    await inboxes.clear()
    newest, restored, kept = await reader.look([(PEOPLE[0], 401)])
    assert (newest, kept) == (None, set())
    assert restored is not None


@pytest.mark.servers
async def test_news_of_every_node_reach_a_listener(redis: Redis) -> None:
    rung: asyncio.Queue[list[str]] = asyncio.Queue()
    listening = asyncio.create_task(listen_for_news(redis, rung.put_nowait))
    inboxes, heard = RedisInboxes(redis), set[str]()
    position = 0

    async def has_heard_all() -> bool:
        nonlocal position
        position += 1
        await inboxes.push([row(position, *PEOPLE)])
        while not rung.empty():
            heard.update(rung.get_nowait())
        return heard == set(PEOPLE)

    try:
        await eventually(has_heard_all)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert heard == set(PEOPLE)


@pytest.mark.servers
async def test_a_batch_is_refused_by_a_bucket_that_lacks_what_was_before_it(redis: Redis) -> None:
    """As that of a replica which was promoted between the look and the push, and had not heard of the batch before."""
    inboxes, name = RedisInboxes(redis), PEOPLE[0]
    await inboxes.rebuild(reading([row(1, name)]))
    bucket = redis_keys.inboxes_complete(redis_keys.inbox_bucket(name))
    before = await redis.dump(bucket), await redis.dump(redis_keys.inbox(name))
    await inboxes.push([row(2, name)])
    for key, dump in zip((bucket, redis_keys.inbox(name)), before, strict=True):
        await redis.restore(key, 0, dump, replace=True)
    with pytest.raises(InboxesBehind, match="lack what was before position 3"):
        await inboxes.push([row(3, name)])
    assert [position for position, _ in await RedisInboxReader(redis).read(name, 0, 9)] == [1]
    assert await inboxes.newest() == 1  # which tells the relay to build them anew
    await inboxes.rebuild(reading([row(1, name), row(2, name)]))
    await inboxes.push([row(3, name)])
    assert [position for position, _ in await RedisInboxReader(redis).read(name, 0, 9)] == [1, 2, 3]


@pytest.mark.servers
async def test_positions_leases_prices_demand_and_traces_work_on_a_cluster(redis: Redis) -> None:
    await (await put_a_position(redis))(0)
    cells = RedisCells(redis)
    assert (await cells.read("grid", [format(CELL, "x")])).keys() == {"driver"}
    assert (await RedisSupply(redis, "grid", [format(CELL, "x")]).positions()).driver_id == ("driver",)
    standings = RedisStandings(redis)
    await standings.mark("grid", [UnbelievedPing("driver", Reason.OFF_REGION, 2.0)])
    assert (await standings.read("grid", ["driver", "other"]))["driver"].refused_reason == Reason.OFF_REGION
    assert await RedisSamples(redis).read("grid") == []
    assert await cells.sweep("grid", before_s=100.0, after_s=200.0) == 1

    leases = RedisLeases(redis, "grid", _no_token)
    [token] = await leases.take([("dora", "one")], 0.0, 15.0)
    assert token is not None
    await leases.release("dora", "one", token)
    assert await leases.take([("dora", "two")], 0.0, 15.0) == [token + 1]

    signals = RedisSignals(redis, "grid", np.array([CELL], np.uint64), 300.0)
    assert (await signals.read(0.0)).requests.tolist() == [0.0]
    await RedisTraceLog(redis, "grid").write([RideTrace("one", 0.0, "optimal", 0, {}, None, [])])
    await probe_redis(redis, redis_keys.write_probe("grid"))


async def _no_token() -> int:
    return 0


@pytest.mark.servers
async def test_a_node_that_joins_is_given_the_functions_when_it_is_first_asked(
    redis: Redis, cluster: ValkeyCluster
) -> None:
    leases = RedisLeases(redis, "newtown", _no_token)
    assert await leases.take([("dora", "one")], 0.0, 15.0) == [1]
    for node in cluster.primaries:
        node.ask("FLUSHALL")
    fourth = cluster.add_node()
    cluster.move_slot(key_slot(b"newtown"), fourth)
    assert await leases.take([("dora", "one")], 0.0, 15.0) == [1]
    assert int(fourth.ask("EXISTS", redis_keys.fence("newtown")))


@pytest.mark.servers
async def test_functions_of_other_versions_are_found_and_removed_on_every_node(
    redis: Redis, cluster: ValkeyCluster
) -> None:
    old = "#!lua name=hexhail_leases_0123456789ab\nredis.register_function('hexhail_old', function() return 1 end)"
    cluster.primaries[1].ask("FUNCTION", "LOAD", old)
    libraries = libraries_of(*FUNCTION_PACKAGES)
    assert await other_versions(redis, libraries) == ["hexhail_leases_0123456789ab"]
    await remove_libraries(redis, ["hexhail_leases_0123456789ab"])
    assert await other_versions(redis, libraries) == []


@pytest.mark.servers
async def test_a_function_call_costs_no_question_about_its_keys(redis: Redis, cluster: ValkeyCluster) -> None:
    leases = RedisLeases(redis, "grid", _no_token)
    for node in cluster.primaries:
        node.ask("CONFIG", "RESETSTAT")
    await leases.take([("dora", "one")], 0.0, 15.0)
    await RedisInboxReader(redis).read_many(dict.fromkeys(PEOPLE, 0), 10)
    stats = "".join(str(node.ask("INFO", "commandstats")) for node in cluster.primaries)
    assert "getkeys" not in stats
    assert "cmdstat_fcall" in stats


# -- what does not work there ------------------------------------------------------------------------------------------


@pytest.mark.servers
async def test_inboxes_without_buckets_and_multi_fail_on_a_cluster(redis: Redis, cluster: ValkeyCluster) -> None:
    """Why they have buckets and functions: what was written before is refused."""
    plain: Any = RedisCluster.from_url(f"redis://{cluster.primaries[0].host}")
    keys = {redis_keys.unbucketed_inbox(name): "0-0" for name in PEOPLE[:10]}
    with pytest.raises((RedisClusterException, ResponseError), match="slot"):
        await plain.xread(keys)
    with pytest.raises(ResponseError, match="CROSSSLOT"):
        await redis.xread(keys)
    with pytest.raises(RedisClusterException, match="publish is blocked"):
        plain.pipeline(transaction=False).publish(redis_keys.INBOX_NEWS, "")
    multi = plain.pipeline(transaction=True)
    for key in keys:
        multi.xadd(key, {"payload": ""})
    with pytest.raises((RedisError, RedisClusterException), match="slot"):
        await multi.execute()
    await plain.aclose()
    with pytest.raises(ValueError, match="no MULTI on a cluster"):
        redis.pipeline(transaction=True)


@pytest.mark.servers
async def test_an_address_of_the_wrong_kind_is_told_with_the_right_one(
    cluster: ValkeyCluster, valkey_port: int
) -> None:
    node = cluster.primaries[0].host
    with pytest.raises(RedisUnusable, match=f"redis://{node}/0 is a node of a cluster: name it as redis\\+cluster://"):
        await open_redis(parse_address(f"redis://{node}"))
    with pytest.raises(RedisUnusable, match="is no cluster: name a single server as redis://"):
        await open_redis(parse_address(f"redis+cluster://127.0.0.1:{valkey_port}"))


@pytest.mark.servers
async def test_the_doctor_examines_a_cluster(cluster: ValkeyCluster, redis: Redis) -> None:
    settings = Settings(redis_url=cluster.url)
    found = await doctor._redis(settings)
    assert found.ok, found.seen
    assert f"at {cluster.url}, its clock" in found.seen
    assert (await doctor._redis_functions(settings)).ok


# -- TLS, and a user of its own ----------------------------------------------------------------------------------------


def write_certificates(folder: Path) -> None:
    """A certificate that is its own authority, for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "valkey")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)


#: As docs/redis.md recommends it.
RECOMMENDED_USER = (
    *("hexhail", "on", ">s/cret", "~*", "&*", "+@all", "-@admin", "-@dangerous"),
    *("+info", "+cluster|slots", "+cluster|shards", "+function", "+scan"),
)


@pytest.fixture
async def tls_port(tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    """A server that ends TLS before a Valkey with the recommended user: the Valkey of the wheel has no TLS itself."""
    write_certificates(tmp_path)
    node = ValkeyNode(tmp_path / "data")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", node.port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(enter, "127.0.0.1", 0, ssl=context)
    try:
        await asyncio.to_thread(node.start)
        node.ask("ACL", "SETUSER", *RECOMMENDED_USER)
        yield server.sockets[0].getsockname()[1], tmp_path / "cert.pem"
    finally:
        server.close()
        node.kill()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.servers
async def test_tls_with_an_authority_and_a_user_of_its_own(tls_port: tuple[int, Path]) -> None:
    port, authority = tls_port
    address = f"127.0.0.1:{port}/0?ssl_ca_certs={authority}"
    client = await open_redis(parse_address(f"rediss://hexhail:s%2Fcret@{address}"))
    assert await client.acl_whoami() in ("hexhail", b"hexhail")
    for shipped in SHIPPED:
        assert await (await shipped.adapter(client))(0) == shipped.answers[0]
    inboxes = RedisInboxes(client)
    await inboxes.push([row(2, "rider:alice")])
    await inboxes.clear()
    assert await other_versions(client, libraries_of(*FUNCTION_PACKAGES)) == []
    await client.aclose()
    for wrong, why in [
        (f"rediss://hexhail:other@{address}", "AuthenticationError"),
        (f"rediss://127.0.0.1:{port}", "certificate verify failed"),
    ]:
        with pytest.raises(RedisUnusable, match=why):
            await open_redis(parse_address(wrong))
