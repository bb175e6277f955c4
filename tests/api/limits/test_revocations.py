"""Tokens that expire or are revoked: refused by REST and on open streams, in every process, whatever Redis forgets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.client import ClientConnection, connect

from api.auth import revocation_watch
from api.auth.redis_revocations import RedisRevocations
from api.auth.revocation_watch import RevocationWatch
from api.auth.revocations import Revocation, Revocations, revoke_subject, revoke_token
from api.auth.sql.revocations import LastingRevocations, SqlRevocations
from api.auth.token_keys import TokenKeys
from api.auth.tokens import CLOCK_LEEWAY_S, TOKEN_LIFE_S_MAX, Grant, Principal, Role, TokenInvalid, Tokens
from backing.sql.database import Database
from hexhail.runtime.embedded import free_port
from kernel.keyring import KeyRing
from tests.api.installation import People, Person, Stream, Valkey, assert_problem
from tests.api.served import SECRETS, Served
from tests.patience import PATIENCE_S, eventually

NOW_S = 1_800_000_000.0
ALICE, BOB = Principal(Role.RIDER, "alice"), Principal(Role.RIDER, "bob")
KEYS = KeyRing(SECRETS)


def signed(now_s: float = NOW_S, **changes: Any) -> str:
    claims: dict[str, Any] = {
        "iss": "hexhail",
        "aud": "hexhail.api",
        "sub": "alice",
        "role": "rider",
        "iat": now_s,
        "exp": now_s + 600.0,
    }
    return jwt.encode(claims | changes, KEYS.signing_key, "HS256", headers={"kid": KEYS.signing_id})


def verify(token: str, now_s: float = NOW_S) -> Grant:
    return Tokens(TokenKeys.of_secrets(KEYS), lambda: now_s).verify(token)


def test_a_token_has_an_id_of_its_own() -> None:
    tokens = Tokens(TokenKeys.of_secrets(KEYS), lambda: NOW_S)
    grants = [tokens.verify(tokens.issue(Role.RIDER, "alice", 60.0)) for _ in range(2)]
    assert grants[0].token_id != grants[1].token_id
    assert grants[0].token_id
    assert (grants[0].principal, grants[0].issued_s, grants[0].expires_s) == (ALICE, NOW_S, NOW_S + 60.0)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_an_issuer_whose_clock_is_some_seconds_ahead_is_believed(claim: str) -> None:
    assert verify(signed(**{claim: NOW_S + 2.0})).principal == ALICE
    with pytest.raises(TokenInvalid, match="not valid yet, by more than the 5 s that clocks may differ"):
        verify(signed(**{claim: NOW_S + CLOCK_LEEWAY_S + 1.0}))


def test_the_leeway_does_not_lengthen_a_token() -> None:
    token = signed()
    assert verify(token, NOW_S + 599.0).principal == ALICE
    with pytest.raises(TokenInvalid, match="it has expired"):
        verify(token, NOW_S + 600.0)


def test_no_token_outlives_what_is_remembered_of_revoked_ones() -> None:
    with pytest.raises(TokenInvalid, match="longer than 366 days"):
        verify(signed(exp=NOW_S + 2 * TOKEN_LIFE_S_MAX))


@pytest.mark.parametrize("value", ["soon", True, float("inf"), float("nan"), [1], 1e400])
def test_a_time_that_is_none_is_refused(value: object) -> None:
    for claim in ("exp", "iat", "nbf"):
        with pytest.raises(TokenInvalid):
            verify(signed(**{claim: value}))


def grant(token_id: str | None = "t1", issued_s: float = NOW_S, principal: Principal = ALICE) -> Grant:
    return Grant(principal, issued_s + 600.0, issued_s, token_id)


def known(*revocations: Revocation, now_s: float = NOW_S) -> Revocations:
    found = Revocations()
    found.update(revocations, now_s)
    return found


def test_a_revoked_token_is_refused_and_no_other_of_the_same_person() -> None:
    revoked = known(revoke_token("t1", NOW_S, "op", "lost"))
    assert revoked.refuses(grant("t1"))
    assert not revoked.refuses(grant("t2"))
    assert not revoked.refuses(grant(None))


def test_a_revoked_subject_loses_all_tokens_so_far_and_may_sign_in_again() -> None:
    revoked = known(revoke_subject(ALICE, NOW_S, "op", "left"))
    assert revoked.refuses(grant(issued_s=NOW_S - 1000.0))
    assert revoked.refuses(grant(None, issued_s=0.0)), "a token that does not say when it was issued is old"
    assert revoked.refuses(grant(issued_s=NOW_S + 3.0)), "the issuer's clock may be ahead"
    assert not revoked.refuses(grant(issued_s=NOW_S + CLOCK_LEEWAY_S + 1.0))
    assert not revoked.refuses(grant(principal=BOB))
    assert not revoked.refuses(grant(principal=Principal(Role.DRIVER, "alice")))


def test_of_two_revocations_of_one_subject_the_later_counts_in_any_order() -> None:
    early, late = (revoke_subject(ALICE, NOW_S + s, "op", "left") for s in (0.0, 100.0))
    for order in ((early, late), (late, early)):
        assert known(*order).refuses(grant(issued_s=NOW_S + 90.0))


def test_revocations_are_forgotten_when_every_token_they_refuse_has_expired() -> None:
    revocation = revoke_token("t1", NOW_S, "op", "lost", expires_s=NOW_S + 60.0)
    revoked = known(revocation)
    revoked.update([], NOW_S + 60.0)
    assert revoked.all() == [revocation]
    revoked.update([], NOW_S + 60.0 + CLOCK_LEEWAY_S)
    assert revoked.all() == []


def test_a_revocation_is_of_one_thing() -> None:
    for token_id, principal in ((None, None), ("t1", ALICE)):
        with pytest.raises(ValueError, match="of a token_id or of a principal"):
            Revocation(token_id, principal, NOW_S, NOW_S, "op", "why")


@pytest.fixture
async def redis(own_valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis(port=own_valkey.port) as client:
        yield client


@pytest.mark.servers
async def test_every_process_learns_what_one_revokes(redis: Redis) -> None:
    here, there = (RevocationWatch(RedisRevocations(redis)) for _ in range(2))
    now_s = time.time()
    await here.revoke(revoke_token("t1", now_s, "op", "lost"))
    await there.look()
    await there.revoke(revoke_subject(BOB, now_s, "op", "left"))
    await here.look()
    for watch in (here, there):
        assert watch.refuses(grant("t1"))
        assert watch.refuses(grant(issued_s=now_s - 1.0, principal=BOB))
        assert {one.reason for one in watch.all()} == {"lost", "left"}


@pytest.mark.servers
async def test_a_redis_that_lost_its_data_is_given_the_revocations_back(redis: Redis) -> None:
    here, new = (RevocationWatch(RedisRevocations(redis)) for _ in range(2))
    now_s = time.time()
    await here.revoke(revoke_token("t1", now_s, "op", "lost"))
    await here.revoke(revoke_subject(ALICE, now_s, "op", "left"))
    await here.look()
    await redis.flushall()
    await here.look()
    await new.look()
    assert new.refuses(grant("t1", issued_s=now_s + 100.0, principal=BOB))
    assert new.refuses(grant(issued_s=now_s - 1.0))


@pytest.mark.servers
async def test_revocations_outlive_a_redis_that_loses_its_data_while_no_process_runs(
    redis: Redis, database: Database
) -> None:
    def started() -> RevocationWatch:
        return RevocationWatch(LastingRevocations(SqlRevocations(database), RedisRevocations(redis)))

    before, now_s = started(), time.time()
    await before.start()
    await before.revoke(revoke_token("t1", now_s, "op", "lost"))
    await before.revoke(revoke_subject(ALICE, now_s - 50.0, "op", "left"))
    await before.revoke(revoke_subject(ALICE, now_s, "op", "left again"))
    await redis.flushall()
    after, other = started(), RevocationWatch(RedisRevocations(redis))
    await after.start()
    await other.look()
    for watch in (after, other):
        assert watch.refuses(grant("t1", issued_s=now_s + 100.0, principal=BOB))
        assert watch.refuses(grant(issued_s=now_s - 1.0))
        assert {one.reason for one in watch.all()} == {"lost", "left again"}


@pytest.mark.servers
async def test_revocations_in_sql_go_with_the_tokens_that_they_refuse(database: Database) -> None:
    now = [NOW_S]
    store = SqlRevocations(database, lambda: now[0])
    await store.add(revoke_token("short", NOW_S, "op", "lost", expires_s=NOW_S + 60.0))
    now[0] += 120.0
    assert await store.read() == []
    await store.add(revoke_subject(BOB, now[0], "op", "left"))
    await store.add(revoke_subject(BOB, now[0] - 10.0, "op", "earlier"))
    assert [one.reason for one in await store.read()] == ["left"]
    assert len(await database.read("SELECT name FROM revocations")) == 1


@pytest.mark.servers
async def test_a_revocation_that_redis_cannot_take_is_told_and_counts_once_it_is_back(database: Database) -> None:
    async with Redis(port=free_port()) as away:
        store = LastingRevocations(SqlRevocations(database), RedisRevocations(away))
        with pytest.raises(RedisError):
            await store.add(revoke_token("t1", time.time(), "op", "lost"))
    assert [one.token_id for one in await SqlRevocations(database).read()] == ["t1"]


@pytest.mark.servers
async def test_revocations_in_redis_go_with_the_tokens_that_they_refuse(redis: Redis) -> None:
    now = [NOW_S + 10 * 365 * 86_400]  # far ahead of the server's own clock, which would expire the keys
    store = RedisRevocations(redis, lambda: now[0])
    await store.add(revoke_token("short", now[0], "op", "lost", expires_s=now[0] + 60.0))
    await store.add(revoke_subject(ALICE, now[0], "op", "left"))
    assert {one.name for one in await store.read()} == {"token:short", "subject:rider:alice"}
    now[0] += 120.0
    assert [one.name for one in await store.read()] == ["subject:rider:alice"]
    await store.add(revoke_subject(BOB, now[0], "op", "left"))
    assert sorted(await redis.hkeys("{tokens}:revoked")) == [b"subject:rider:alice", b"subject:rider:bob"]
    assert await redis.pexpiretime("{tokens}:revoked") == round((now[0] + TOKEN_LIFE_S_MAX + CLOCK_LEEWAY_S) * 1e3)


@pytest.mark.servers
async def test_an_earlier_revocation_of_a_subject_does_not_replace_a_later_one(redis: Redis) -> None:
    store = RedisRevocations(redis)
    now_s = time.time()
    await store.add(revoke_subject(ALICE, now_s, "op", "later"))
    await store.add(revoke_subject(ALICE, now_s - 100.0, "op", "earlier"))
    assert [one.reason for one in await store.read()] == ["later"]


async def opened(person: Person, token: str) -> ClientConnection:
    url = person.installation.url.replace("http", "ws") + f"/v1/{person.role}s/me/stream"
    return await connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None)


@pytest.mark.servers
async def test_a_stream_is_closed_with_4401_when_its_token_expires(served: Served, served_people: People) -> None:
    driver = served_people.driver()
    socket = await opened(driver, served.tokens.issue(driver.role, driver.id, life_s=3.0))
    stream = Stream(socket)
    assert (await stream.frame())["type"] == "ready"
    await stream.say({"type": "ping"})
    assert await stream.frame() == {"type": "pong"}
    began_s = time.monotonic()
    assert await stream.close_code() == 4401
    assert socket.close_reason == "token_invalid: The token was refused: it has expired."
    assert time.monotonic() - began_s < PATIENCE_S / 2


@pytest.mark.servers
async def test_a_revoked_token_is_refused_at_once_by_rest_and_ends_its_stream_and_no_other(
    served: Served, served_people: People
) -> None:
    driver, operator = served_people.driver(), served_people.operator()
    lost, kept = (served.tokens.issue(driver.role, driver.id) for _ in range(2))
    streams = [Stream(await opened(driver, token)) for token in (lost, kept)]
    for stream in streams:
        await stream.frame()
    body = {"token_id": served.tokens.verify(lost).token_id, "reason": "a lost phone"}
    answer = await operator.post("/v1/ops/tokens/revoke", body)
    assert answer.status_code == 200, answer.text
    assert await streams[0].close_code() == 4401
    assert streams[0].socket.close_reason == "token_invalid: The token was refused: it was revoked."
    for path, sent in (("/v1/drivers/me/pings", {"pings": []}), ("/v1/drivers/me/status", {"status": "online"})):
        refused = await served_people.http.post(path, json=sent, headers={"Authorization": f"Bearer {lost}"})
        assert assert_problem(refused, 401, "token_invalid")["detail"] == "The token was refused: it was revoked."
    await streams[1].say({"type": "ping"})
    assert await streams[1].frame() == {"type": "pong"}
    again = await opened(driver, lost)
    await again.wait_closed()
    assert again.close_code == 4401
    listed = (await operator.get("/v1/ops/tokens/revocations")).json()["revocations"]
    assert (listed[0]["token_id"], listed[0]["reason"], listed[0]["operator"]) == (
        body["token_id"],
        "a lost phone",
        "operator",
    )
    await streams[1].socket.close()


@pytest.mark.servers
async def test_a_process_ends_its_streams_for_what_another_one_revoked(
    served: Served, served_people: People, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_watch, "LOOK_EVERY_S", 0.1)
    rider = served_people.rider()
    async with rider.stream() as stream, Redis(port=own_valkey.port) as client:
        elsewhere = RedisRevocations(client)
        await elsewhere.add(revoke_subject(Principal(rider.role, rider.id), time.time(), "op", "left"))
        assert await stream.close_code() == 4401

        async def is_refused() -> bool:
            return (await rider.get("/v1/rides/none")).status_code == 401

        await eventually(is_refused)


@pytest.mark.servers
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token_id": "t", "role": "rider", "subject": "alice"},
        {"role": "rider"},
        {"subject": "alice"},
        {"role": "rider", "subject": "no id"},
        {"token_id": ""},
    ],
)
async def test_a_revocation_that_names_nothing_or_too_much_is_refused(people: People, body: dict[str, Any]) -> None:
    answer = await people.operator().post("/v1/ops/tokens/revoke", {"reason": "a drill", **body})
    assert_problem(answer, 422, "invalid")
