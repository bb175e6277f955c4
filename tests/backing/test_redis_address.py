"""What an address of Redis may say, and how a wrong one is refused."""

from __future__ import annotations

import pytest

from backing.redis.address import RedisAddress, Topology, parse_address
from hexhail.runtime.connections import DependencyMissing, connect_redis
from hexhail.runtime.settings import Settings


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1:7000/3", RedisAddress(Topology.ONE, (("127.0.0.1", 7000),), db=3)),
        ("redis://host", RedisAddress(Topology.ONE, (("host", 6379),))),
        ("unix:///run/valkey.sock", RedisAddress(Topology.ONE, (), socket_path="/run/valkey.sock")),
        (
            "rediss://hail:p%40ss@host/0?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=no",
            RedisAddress(
                Topology.ONE,
                (("host", 6379),),
                "hail",
                "p@ss",
                is_tls=True,
                tls={"ssl_ca_certs": "/etc/ca.pem", "ssl_check_hostname": False},
            ),
        ),
        (
            "redis+cluster://:secret@a,b:7001,[::1]:7002",
            RedisAddress(Topology.CLUSTER, (("a", 6379), ("b", 7001), ("::1", 7002)), password="secret"),
        ),
        (
            "rediss+sentinel://u:p@a,b:26380/city/2?sentinel_username=s&sentinel_password=q",
            RedisAddress(
                Topology.SENTINEL,
                (("a", 26379), ("b", 26380)),
                "u",
                "p",
                2,
                "city",
                is_tls=True,
                sentinel_username="s",
                sentinel_password="q",
            ),
        ),
    ],
)
def test_an_address_says_which_servers_and_how_they_stand_to_each_other(url: str, address: RedisAddress) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("127.0.0.1:6379", "the scheme '' is none of Redis; write redis://"),
        ("/run/valkey.sock", "the scheme '' is none"),
        ("http://host", "the scheme 'http' is none"),
        ("redis+clusters://host", "the scheme 'redis\\+clusters' is none"),
        ("redis://", "no host"),
        ("redis://a,b", "several hosts in a redis:// address; write redis\\+cluster://"),
        ("redis+cluster://a,,b", "no host in 'a,,b'"),
        ("redis://host:port", "'port' is no port of 'host'"),
        ("redis://host:99999", "'99999' is no port of 'host'"),
        ("redis://host/first", "'/first' names no database"),
        ("redis://host/0/1", "names no database"),
        ("redis+cluster://host/1", "a cluster has database 0 alone, not 1"),
        ("redis+sentinel://a,b", "no service"),
        ("redis://host?socket_timeout=1", "unknown option 'socket_timeout' in the query; known are none here"),
        ("redis://host?ssl_ca_certs=/etc/ca.pem", "those of TLS need rediss"),
        ("rediss://host?ssl_check_hostname=maybe", "ssl_check_hostname is yes or no, not 'maybe'"),
        ("unix://", "a Unix socket is given as unix:///PATH"),
    ],
)
async def test_a_wrong_address_is_refused_in_one_line_that_says_what_to_write(url: str, why: str) -> None:
    with pytest.raises(DependencyMissing, match=f"^HEXHAIL_REDIS_URL is no address: .*{why}") as refused:
        await connect_redis(Settings(redis_url=url))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:secret@127.0.0.1:1/0", "redis://127.0.0.1:1/0"),
        ("rediss+cluster://me:secret@127.0.0.1:1,[::1]:2", "rediss+cluster://127.0.0.1:1,[::1]:2"),
        ("redis+sentinel://me:secret@127.0.0.1:1/city?sentinel_password=secret", "redis+sentinel://127.0.0.1:1/city/0"),
        ("unix:///nowhere/valkey.sock", "unix:///nowhere/valkey.sock"),
    ],
)
async def test_servers_that_do_not_answer_are_told_in_one_line_without_the_password(url: str, shown: str) -> None:
    with pytest.raises(DependencyMissing) as missing:
        await connect_redis(Settings(redis_url=url))
    told = str(missing.value)
    assert told.startswith(f"Redis does not answer at {shown} (")
    assert told.endswith("Start it there, or set HEXHAIL_REDIS_URL.")
    assert "secret" not in told
    assert "\n" not in told
    assert "secret" not in repr(parse_address(url))
