"""Each kind of invalid request gets its own error code and changes nothing."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest
import redis.asyncio

from api.limits import BODY_BYTES_MAX
from kernel.contracts import redis_keys
from tests.api.installation import (
    BERLIN,
    BRYANT_PARK,
    TIMES_SQUARE,
    TRIP,
    Driver,
    Installation,
    People,
    Rider,
    assert_problem,
)
from tests.patience import eventually

pytestmark = pytest.mark.servers

#: So near to the other that a car can be there a moment later.
NEARBY = {"lat_deg": BRYANT_PARK["lat_deg"] + 0.0005, "lng_deg": BRYANT_PARK["lng_deg"]}

#: Bodies that are wrong whatever the route, as bytes.
MALFORMED = {
    "empty": b"",
    "truncated": b'{"pickup": {"lat_deg": 40.7',
    "a lone word": b"hello",
    "NaN": b'{"pickup": NaN, "seats": NaN, "quote_id": NaN, "status": NaN, "pings": NaN}',
    "Infinity": b'{"pings": [{"t_s": Infinity, "lat_deg": -Infinity, "lng_deg": 1}]}',
    "an endless number": b'{"seats": ' + b"9" * 5000 + b', "pings": [{"t_s": ' + b"9" * 5000 + b"}]}",
    "a number beyond floats": b'{"pickup": {"lat_deg": 1e999, "lng_deg": 1}, "pings": [{"t_s": 1e999}]}',
    "an array": b"[1, 2, 3]",
    "null": b"null",
    "nested deeply": b"[" * 100_000,
    "nested objects": b'{"a":' * 50_000,
    "invalid UTF-8": b'{"quote_id": "\xff\xfe", "status": "\xff"}',
    "half a surrogate pair": b'{"\\ud800": "\\udfff", "quote_id": "\\ud800"}',
    "null characters": b'{"quote_id": "\\u0000", "status": "on\\u0000line"}',
    "wrong types": b'{"pickup": 7, "dropoff": [], "seats": {}, "quote_id": 1, "status": false, "pings": "x"}',
    "unknown fields": b'{"fare_cents": 1, "driver_id": "me", "state": "COMPLETED"}',
    "very many unknown fields": json.dumps({f"f{n}": n for n in range(20_000)}).encode(),
}
JSON_ROUTES = ("/v1/quotes", "/v1/rides", "/v1/drivers/me/status", "/v1/drivers/me/pings")

BAD_PINGS: dict[str, Callable[[float], dict[str, Any]]] = {
    "ping_out_of_range": lambda now_s: {"t_s": now_s, "lat_deg": 91.0, "lng_deg": 0.0},
    "ping_from_the_future": lambda now_s: {"t_s": now_s + 600.0, **BRYANT_PARK},
    "ping_too_old": lambda now_s: {"t_s": now_s - 3600.0, **BRYANT_PARK},
    "ping_off_region": lambda now_s: {"t_s": now_s, **BERLIN},
    "ping_not_finite": lambda now_s: {"t_s": now_s, "lat_deg": float("nan"), "lng_deg": 0.0},
    "ping_malformed": lambda now_s: {"t_s": now_s, **BRYANT_PARK, "altitude_m": 12.0},
}
BAD_FIELDS = {
    "ping_out_of_range": "lat_deg",
    "ping_from_the_future": "t_s",
    "ping_too_old": "t_s",
    "ping_off_region": "lat_deg,lng_deg",
    "ping_not_finite": "lat_deg",
    "ping_malformed": "altitude_m",
}


@asynccontextmanager
async def nothing_changes(installation: Installation) -> AsyncIterator[None]:
    before = installation.in_sql()
    yield
    assert installation.in_sql() == before


async def position_of(driver: Driver) -> bytes | None:
    """Which cell holds the driver since when, as ingestion has stored it."""
    async with redis.asyncio.Redis(port=driver.installation.redis_port) as client:
        stored: bytes | None = await client.hget(redis_keys.driver_index("manhattan"), driver.id)
    return stored


async def until_stored(driver: Driver, t_s: float) -> bytes:
    async def found() -> bytes | None:
        stored = await position_of(driver)
        return stored if stored is not None and int(stored.rpartition(b"|")[2]) == round(t_s * 1e3) else None

    return await eventually(found)


async def send_pings(driver: Driver, *pings: dict[str, Any]) -> httpx.Response:
    content = json.dumps({"pings": list(pings)})
    return await driver.http.post("/v1/drivers/me/pings", content=content, headers=driver.headers)


async def test_bad_pings_are_refused_and_the_driver_stays_where_he_was(people: People) -> None:
    driver = people.driver()
    t_s = driver.installation.now_s()
    assert (await send_pings(driver, {"t_s": t_s, **BRYANT_PARK})).json() == {"accepted": 1}
    stored = await until_stored(driver, t_s)

    late = [("ping_duplicate_time", t_s), ("ping_out_of_order", t_s - 5.0)]
    for code, at_s in late:
        assert_problem(await send_pings(driver, {"t_s": at_s, **NEARBY}), 409, code)
    for code, bad_ping in BAD_PINGS.items():
        problem = assert_problem(await send_pings(driver, bad_ping(driver.installation.now_s())), 422, code)
        refused = {"index": 0, "field": BAD_FIELDS[code], "reason": code.removeprefix("ping_")}
        assert problem["refusals"] == [refused]
    assert await position_of(driver) == stored

    now_s = driver.installation.now_s()
    assert (await send_pings(driver, {"t_s": now_s, **NEARBY})).status_code == 202
    await until_stored(driver, now_s)


async def test_one_bad_ping_does_not_refuse_its_batch_and_each_is_named(people: People) -> None:
    driver = people.driver()
    now_s = driver.installation.now_s()
    bad = [bad_ping(now_s) for bad_ping in BAD_PINGS.values()]
    good = [{"t_s": now_s - 2.0, **BRYANT_PARK}, {"t_s": now_s - 1.0, **NEARBY, "speed_mps": float("nan")}]
    refused = [
        {"index": at, "field": BAD_FIELDS[code], "reason": code.removeprefix("ping_")}
        for at, code in enumerate(BAD_PINGS, 1)
    ]
    answer = await send_pings(driver, good[0], *bad, good[1], "no ping")
    refused.append({"index": len(bad) + 2, "field": "", "reason": "malformed"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "refusals": refused})
    await until_stored(driver, now_s - 1.0)

    async with driver.stream() as stream:
        pings = [{"t_s": now_s, **BRYANT_PARK}, *bad]
        await stream.say({"type": "pings", "pings": pings})
        assert await stream.frame() == {"type": "pings", "accepted": 1, "refusals": refused[:-1]}
        await until_stored(driver, now_s)


async def test_a_phone_that_says_minus_one_for_what_it_does_not_know_is_in_its_cell(people: People) -> None:
    driver = people.driver()
    now_s = driver.installation.now_s()
    for at, (heading_deg, speed_mps) in enumerate([(-1.0, -1.0), (-1.0, 0.0), (90.0, -1.0), (361.0, None)]):
        ping = {"t_s": now_s + at / 10, **BRYANT_PARK, "heading_deg": heading_deg, "speed_mps": speed_mps}
        assert (await send_pings(driver, ping | {"accuracy_m": 5.0})).json() == {"accepted": 1}
        await until_stored(driver, now_s + at / 10)
    problem = assert_problem(
        await send_pings(driver, {"t_s": now_s + 0.9, **BRYANT_PARK, "accuracy_m": -1.0}), 422, "ping_out_of_range"
    )
    assert problem["refusals"] == [{"index": 0, "field": "accuracy_m", "reason": "out_of_range"}]


async def test_bad_pings_on_the_stream_are_answered_and_the_stream_lives_on(people: People) -> None:
    driver = people.driver()
    t_s = driver.installation.now_s()
    async with driver.stream() as stream:
        await stream.say({"type": "pings", "pings": [{"t_s": t_s, **BRYANT_PARK}]})
        stored = await until_stored(driver, t_s)
        wrong: dict[str, Any] = {**BAD_PINGS, "ping_out_of_order": lambda _: {"t_s": t_s - 1, **BRYANT_PARK}}
        for code, bad_ping in wrong.items():
            await stream.say({"type": "pings", "pings": [bad_ping(driver.installation.now_s())]})
            frame = await stream.frame()
            assert (frame["type"], frame["code"]) == ("error", code)
            assert frame["detail"]
            assert frame["hint"]
        assert await position_of(driver) == stored
        now_s = driver.installation.now_s()
        await stream.say({"type": "pings", "pings": [{"t_s": now_s, **NEARBY}]})
        await until_stored(driver, now_s)


@pytest.mark.parametrize("count", [0, 2001])
async def test_a_batch_of_pings_has_one_to_two_thousand(people: People, count: int) -> None:
    driver = people.driver()
    now_s = driver.installation.now_s()
    pings = [{"t_s": now_s - count * 0.01 + n * 0.01, **BRYANT_PARK} for n in range(count)]
    assert_problem(await send_pings(driver, *pings), 422, "invalid_pings")


@pytest.mark.parametrize("end", ["pickup", "dropoff"])
async def test_there_is_no_quote_outside_the_region(people: People, end: str) -> None:
    async with nothing_changes(people.installation):
        answer = await people.rider().post("/v1/quotes", {**TRIP, end: BERLIN})
    problem = assert_problem(answer, 422, "outside_region")
    assert problem["detail"].startswith(f"The {end} ")


async def test_there_is_no_quote_for_a_trip_to_where_one_is(people: People) -> None:
    answer = await people.rider().post("/v1/quotes", {"pickup": TIMES_SQUARE, "dropoff": TIMES_SQUARE})
    assert_problem(answer, 422, "no_trip")


async def test_the_same_key_with_another_body_is_refused(people: People) -> None:
    rider = people.rider()
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first, second = await rider.quote(), await rider.quote()
    ride = (await rider.post("/v1/rides", {"quote_id": first}, **key)).json()
    rider.rides.append(ride["ride_id"])
    async with nothing_changes(rider.installation):
        assert_problem(await rider.post("/v1/rides", {"quote_id": second}, **key), 422, "idempotency_conflict")
        used = await rider.post("/v1/rides", {"quote_id": first}, **{"Idempotency-Key": uuid.uuid4().hex})
        assert_problem(used, 409, "quote_used")


async def test_the_same_key_of_another_rider_is_another_key(people: People) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    rides = []
    for rider in (people.rider(), people.rider()):
        answer = await rider.post("/v1/rides", {"quote_id": await rider.quote()}, **key)
        assert answer.status_code == 201, answer.text
        rider.rides.append(answer.json()["ride_id"])
        rides += rider.rides
    assert len(set(rides)) == 2


async def test_twenty_requests_at_once_under_one_key_are_one_ride(people: People) -> None:
    rider = people.rider()
    body, key = {"quote_id": await rider.quote()}, {"Idempotency-Key": uuid.uuid4().hex}
    answers = await asyncio.gather(*(rider.post("/v1/rides", body, **key) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    rider.rides += {answer.json()["ride_id"] for answer in answers}
    assert len(rider.rides) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 19


@pytest.mark.parametrize("key", [None, "short", "x" * 129, "with a blank"])
async def test_a_ride_needs_a_sound_idempotency_key(people: People, key: str | None) -> None:
    rider = people.rider()
    headers = {"Idempotency-Key": key} if key else {}
    body = {"quote_id": await rider.quote()}
    async with nothing_changes(rider.installation):
        assert_problem(await rider.post("/v1/rides", body, **headers), 422, "invalid")


def resigned(rider: Rider, quote_id: str, **changes: Any) -> str:
    """The quote with other facts, signed with the right key: what only the service itself could make."""
    secret = json.loads(rider.installation.env["HEXHAIL_TOKEN_SECRETS"])["demo"]
    payload = jwt.decode(quote_id, secret, algorithms=["HS256"], audience="hexhail.quote")
    payload["quote"] |= changes
    return jwt.encode(payload, secret, "HS256", headers={"kid": "demo"})


async def test_quotes_that_are_forged_foreign_or_expired_are_refused(people: People) -> None:
    rider, other = people.rider(), people.rider()
    quote_id, now_s = await rider.quote(), rider.installation.now_s()
    head, payload, signature = quote_id.split(".")
    access_token = rider.installation.tokens.issue(rider.role, rider.id)
    refused = [
        (f"{head}.{payload[:-4]}AAAA.{signature}", 422, "quote_forged"),
        (access_token, 422, "quote_forged"),
        ("x" * 4096, 422, "quote_forged"),
        ("\u00fc\U0001f695", 422, "quote_forged"),
        (await other.quote(), 422, "quote_of_another_rider"),
        (resigned(rider, quote_id, issued_s=now_s - 301.0, expires_s=now_s - 1.0), 409, "quote_expired"),
        ("x" * 4097, 422, "invalid"),
    ]
    async with nothing_changes(rider.installation):
        for forged, status, code in refused:
            answer = await rider.post("/v1/rides", {"quote_id": forged}, **{"Idempotency-Key": uuid.uuid4().hex})
            assert_problem(answer, status, code)


async def test_a_repeated_request_is_answered_although_its_quote_has_expired_since(people: People) -> None:
    rider = people.rider()
    expires_s = rider.installation.now_s() + 5.0
    body = {"quote_id": resigned(rider, await rider.quote(), expires_s=expires_s)}
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = await rider.post("/v1/rides", body, **key)
    rider.rides.append(first.json()["ride_id"])
    while rider.installation.now_s() <= expires_s:
        await asyncio.sleep(0.1)
    again = await rider.post("/v1/rides", body, **key)
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()) == (201, "true", first.json())
    late = await rider.post("/v1/rides", body, **{"Idempotency-Key": uuid.uuid4().hex})
    assert_problem(late, 409, "quote_expired")


async def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    body = json.dumps({**TRIP, "note": "x" * BODY_BYTES_MAX}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 60_000):
            yield body[start : start + 60_000]

    async with nothing_changes(people.installation):
        for person, path in ((rider, "/v1/quotes"), (driver, "/v1/drivers/me/pings")):
            headers = person.headers | {"Content-Type": "application/json"}
            for content in (body, pieces()):
                answer = await person.http.post(path, content=content, headers=headers)
                assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize("malformed", MALFORMED)
async def test_every_route_survives_a_body_that_is(people: People, malformed: str) -> None:
    persons: dict[str, Rider | Driver] = {"/v1/quotes": people.rider(), "/v1/rides": people.rider()}
    async with nothing_changes(people.installation):
        for path in JSON_ROUTES:
            person = persons.get(path) or people.driver()
            headers = person.headers | {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
            answer = await person.http.post(path, content=MALFORMED[malformed], headers=headers)
            assert 400 <= answer.status_code < 500, answer.text
            assert_problem(answer, answer.status_code, answer.json()["code"])
            assert len(answer.content) < 4096


async def test_a_body_must_say_that_it_is_json(people: People) -> None:
    rider = people.rider()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = rider.headers | {"Content-Type": content_type}
        answer = await rider.http.post("/v1/quotes", content=json.dumps(TRIP), headers=headers)
        assert_problem(answer, 415, "not_json")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tip_cents": 100}, "body.tip_cents"),
        ({"seats": 0}, "body.seats"),
        ({"seats": 9}, "body.seats"),
        ({"seats": 1.5}, "body.seats"),
        ({"pickup": {"lat_deg": 90.01, "lng_deg": 0}}, "body.pickup.lat_deg"),
        ({"pickup": {"lat_deg": 40, "lng_deg": -180.01}}, "body.pickup.lng_deg"),
        ({"pickup": {**TIMES_SQUARE, "name": "here"}}, "body.pickup.name"),
    ],
)
async def test_a_quote_request_names_the_field_that_is_wrong(
    people: People, changes: dict[str, Any], field: str
) -> None:
    problem = assert_problem(await people.rider().post("/v1/quotes", TRIP | changes), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_what_the_server_owns_cannot_be_set(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    quote_id = await rider.quote()
    async with nothing_changes(people.installation):
        for field in ("fare_cents", "state", "driver_id", "rider_id", "ride_id"):
            key = {"Idempotency-Key": uuid.uuid4().hex}
            assert_problem(await rider.post("/v1/rides", {"quote_id": quote_id, field: 1}, **key), 422, "invalid")
        status = {"status": "online", "driver_id": "somebody-else"}
        assert_problem(await driver.post("/v1/drivers/me/status", status), 422, "invalid")


@pytest.mark.parametrize(
    "odd",
    ["%00", "a%00b", "%20", "x" * 65, "%E2%82%AC", "%27%20OR%201%3D1", "%5C..%5C", "a%0d%0ab", "*", "%7Br%7D:index"],
)
async def test_an_id_with_odd_characters_is_refused_before_it_reaches_a_store(people: People, odd: str) -> None:
    rider, driver = people.rider(), people.driver()
    assert_problem(await rider.get(f"/v1/rides/{odd}"), 422, "invalid")
    assert_problem(await rider.post(f"/v1/rides/{odd}/cancel"), 422, "invalid")
    for step in ("arrived", "picked-up", "dropped-off"):
        assert_problem(await driver.post(f"/v1/rides/{odd}/{step}"), 422, "invalid")
    for answer in ("accept", "decline"):
        assert_problem(await driver.post(f"/v1/offers/{odd * 2}/{answer}"), 422, "invalid")


@pytest.mark.parametrize(
    "cell", ["", "zz", "0", "882a100d65fffff0", "892a100d653ffff", "%00", "ffffffffffffffff", "-1"]
)
async def test_a_price_is_asked_for_a_cell_that_exists(people: People, cell: str) -> None:
    answer = await people.rider().get(f"/v1/surge?cell={cell}")
    assert answer.status_code == 422
    assert answer.json()["code"] in ("invalid_cell", "invalid")


async def test_unknown_routes_and_methods_are_told_as_problems(http: httpx.AsyncClient) -> None:
    assert_problem(await http.get("/v1/nothing"), 404, "no_such_route")
    assert_problem(await http.get("/static-offline-docs/nothing"), 404, "no_such_route")
    answer = await http.delete("/v1/quotes")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
