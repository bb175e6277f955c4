"""Access control: tokens, roles, and other people's rides."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect

from api.auth.tokens import Role
from tests.api.installation import BRYANT_PARK, TRIP, Driver, Installation, People, Person, Rider, assert_problem

pytestmark = pytest.mark.servers

#: Who may use which operation; None stands for everybody, without a token.
MAY: dict[tuple[str, str], frozenset[Role] | None] = {
    ("post", "/v1/quotes"): frozenset({Role.RIDER}),
    ("get", "/v1/drivers/nearby"): frozenset({Role.RIDER}),
    ("post", "/v1/rides"): frozenset({Role.RIDER}),
    ("get", "/v1/rides/{ride_id}"): frozenset({Role.RIDER, Role.DRIVER}),
    ("post", "/v1/rides/{ride_id}/cancel"): frozenset({Role.RIDER, Role.DRIVER}),
    ("post", "/v1/rides/{ride_id}/rating"): frozenset({Role.RIDER}),
    ("post", "/v1/rides/{ride_id}/arrived"): frozenset({Role.DRIVER}),
    ("post", "/v1/rides/{ride_id}/picked-up"): frozenset({Role.DRIVER}),
    ("post", "/v1/rides/{ride_id}/dropped-off"): frozenset({Role.DRIVER}),
    ("post", "/v1/rides/{ride_id}/no-show"): frozenset({Role.DRIVER}),
    ("post", "/v1/offers/{offer_id}/accept"): frozenset({Role.DRIVER}),
    ("post", "/v1/offers/{offer_id}/decline"): frozenset({Role.DRIVER}),
    ("post", "/v1/drivers/me/status"): frozenset({Role.DRIVER}),
    ("post", "/v1/drivers/me/pings"): frozenset({Role.DRIVER}),
    ("get", "/v1/drivers/me/advice"): frozenset({Role.DRIVER}),
    ("get", "/v1/drivers/me/rides/{ride_id}/earnings"): frozenset({Role.DRIVER}),
    ("get", "/v1/surge"): frozenset(Role),
    ("get", "/v1/ops/surge/history"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/surge/freeze"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/surge/unfreeze"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/surge/orders"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/city"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/city/roads"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/acceptance"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/figures"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/totals"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/tariff"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/traffic"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/flags"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/rides/{ride_id}/trace"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/rides/{ride_id}"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/rides/{ride_id}/end"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/rides/{ride_id}/cancel"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/rides/{ride_id}/reassign"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/rides/{ride_id}/correct"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/rides/{ride_id}/interventions"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/interventions"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/drivers"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/drivers/add"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/drivers/remove"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/drivers/open"): frozenset({Role.OPERATOR}),
    ("post", "/v1/ops/tokens/revoke"): frozenset({Role.OPERATOR}),
    ("get", "/v1/ops/tokens/revocations"): frozenset({Role.OPERATOR}),
    ("post", "/v1/sessions"): None,
    ("get", "/.well-known/jwks.json"): None,
    ("get", "/healthz"): None,
    ("get", "/readyz"): None,
    ("get", "/v1/ops/health"): None,
    ("get", "/metrics"): None,
}


def forgeries(installation: Installation) -> dict[str, str]:
    """Tokens that must not be believed."""
    secret = json.loads(installation.env["HEXHAIL_TOKEN_SECRETS"])["demo"]
    claims: dict[str, Any] = {
        "iss": "hexhail",
        "aud": "hexhail.api",
        "sub": "mallory",
        "role": "driver",
        "iat": int(time.time()),
        "exp": int(time.time()) + 600,
    }

    def signed(key: str = secret, algorithm: str = "HS256", kid: Any = "demo", **changes: Any) -> str:
        kept = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(kept, key, algorithm, headers={"kid": kid})

    def unsigned(algorithm: str) -> str:
        parts = ({"alg": algorithm, "typ": "JWT", "kid": "demo"}, claims)
        return (
            ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."
        )

    good = signed()
    return {
        "garbage": "garbage",
        "dots": "..",
        "not ASCII": "\u00fc.\u00fc.\u00fc",
        "alg none": unsigned("none"),
        "alg None": unsigned("None"),
        "alg RS256": unsigned("RS256"),
        "cut off": good[:-6],
        "another secret": signed("x" * 64),
        "another algorithm": signed(algorithm="HS512"),
        "another key id": signed(kid="other"),
        "a key id of two": jwt.encode(claims, secret, "HS256", headers={"kid": ""}),
        "expired": signed(exp=int(time.time()) - 5),
        "expired a moment ago": signed(exp=int(time.time())),
        "of far in the future": signed(iat=int(time.time()) + 600, exp=int(time.time()) + 1200),
        "not valid yet": signed(nbf=int(time.time()) + 600),
        "for ever": signed(exp=int(time.time()) + 10 * 365 * 86_400),
        "with an end that is no number": signed(exp="tomorrow"),
        "with an endless id": signed(jti="x" * 200),
        "with an id that is no text": signed(jti=7),
        "without an end": signed(exp=None),
        "for another audience": signed(aud="hexhail.quote"),
        "for no audience": signed(aud=None),
        "of another issuer": signed(iss="somebody"),
        "without a role": signed(role=None),
        "of an unknown role": signed(role="admin"),
        "without a subject": signed(sub=None),
        "for a subject with a blank": signed(sub="a driver:b"),
        "for an endless subject": signed(sub="x" * 65),
        "endless": "x" * 7000,
    }


async def test_a_forged_token_is_refused_everywhere(people: People) -> None:
    before = people.installation.in_sql()
    tokens = forgeries(people.installation) | {"a quote": await people.rider().quote()}
    for what, token in tokens.items():
        headers = {"Authorization": f"Bearer {token}".encode()}
        answer = await people.http.post("/v1/drivers/me/status", json={"status": "online"}, headers=headers)
        problem = assert_problem(answer, 401, "token_invalid")
        assert answer.headers["www-authenticate"] == "Bearer", what
        assert token not in json.dumps(problem)
    assert people.installation.in_sql() == before


async def test_without_a_token_nothing_opens_but_what_is_for_everybody(people: People) -> None:
    for (method, path), roles in MAY.items():
        url = path.format(ride_id="r", offer_id="o")
        for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
            answer = await people.http.request(method, url, json={}, headers=headers)
            if roles is None:
                assert answer.status_code == (422 if path == "/v1/sessions" else 200), path
            else:
                assert_problem(answer, 401, "token_missing")


@pytest.mark.parametrize("stream", ["riders/me", "drivers/me", "ops"])
async def test_a_stream_is_closed_with_4401_for_a_forged_token(people: People, stream: str) -> None:
    url = people.installation.url.replace("http", "ws") + f"/v1/{stream}/stream"
    for token in [None, *(t for t in forgeries(people.installation).values() if t.isascii())]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            await socket.wait_closed()
            assert socket.close_code == 4401
            assert (socket.close_reason or "").startswith("token_invalid" if token else "token_missing")


async def test_a_stream_is_closed_with_4403_for_another_role(people: People) -> None:
    streams = {Role.RIDER: "riders/me", Role.DRIVER: "drivers/me", Role.OPERATOR: "ops"}
    for person in (people.rider(), people.driver(), people.operator()):
        for role, stream in streams.items():
            url = people.installation.url.replace("http", "ws") + f"/v1/{stream}/stream"
            async with connect(url, additional_headers=person.headers, proxy=None) as socket:
                if role is person.role:
                    assert json.loads(await socket.recv())["type"] in ("ready", "frame")
                else:
                    await socket.wait_closed()
                    assert socket.close_code == 4403


async def test_a_browser_gives_its_token_as_a_subprotocol(people: People) -> None:
    token = people.installation.tokens.issue(Role.RIDER, "browser")
    url = people.installation.url.replace("http", "ws") + "/v1/riders/me/stream"
    async with connect(url, subprotocols=["hexhail.v1", f"bearer.{token}"], proxy=None) as socket:
        assert socket.subprotocol == "hexhail.v1"
        assert json.loads(await socket.recv()) == {"type": "ready", "last_seen": 0}
    async with connect(url, subprotocols=["hexhail.v1", "bearer.x"], proxy=None) as socket:
        await socket.wait_closed()
        assert socket.close_code == 4401


async def test_each_role_may_do_what_the_table_says_and_no_more(people: People) -> None:
    document = (await people.http.get("/openapi.json")).json()
    operations = {(method, path) for path, item in document["paths"].items() for method in item}
    assert operations == set(MAY), "a route without a line in the table"
    before = people.installation.in_sql()
    for person in (people.rider(), people.driver(), people.operator()):
        for (method, path), roles in MAY.items():
            url = path.format(ride_id="r", offer_id="o")
            answer = await people.http.request(method, url, json={}, headers=person.headers)
            if roles is None or person.role in roles:
                assert answer.status_code not in (401, 403), f"{person.role} {method} {path}"
            else:
                assert_problem(answer, 403, "wrong_role")
    assert people.installation.in_sql() == before


def _on_ride(ride_id: str) -> list[tuple[str, str]]:
    steps = ("cancel", "arrived", "picked-up", "dropped-off")
    return [("get", f"/v1/rides/{ride_id}"), *(("post", f"/v1/rides/{ride_id}/{step}") for step in steps)]


async def _sees_nothing(person: Person, operations: list[tuple[str, str]]) -> None:
    for method, path in operations:
        answer = await person.http.request(method, path, headers=person.headers)
        if answer.status_code == 403:
            assert person.role is Role.RIDER, "only riders are kept from what drivers do"
        else:
            assert_problem(answer, 404, "not_found")


async def test_nobody_reads_or_moves_the_rides_of_others(people: People) -> None:
    rider, driver = people.rider(), people.driver()
    strangers = [people.rider(), people.driver()]
    # The same name in another role is another person.
    strangers.append(Driver(people.installation, Role.DRIVER, rider.id, people.http))
    strangers.append(Rider(people.installation, Role.RIDER, driver.id, people.http))
    async with driver.on_shift() as told:
        ride_id = await rider.request_ride()
        offer = await told.event("OfferSent", ride_id=ride_id)
        answers = [("post", f"/v1/offers/{offer['offer_id']}/{answer}") for answer in ("accept", "decline")]
        before = people.installation.in_sql()
        for stranger in strangers:
            await _sees_nothing(stranger, _on_ride(ride_id) + answers)
        # Who is only being asked may not act on the ride yet.
        await _sees_nothing(driver, _on_ride(ride_id))
        assert people.installation.in_sql() == before

        assert (await driver.accept(offer)).status_code == 200
        for steps in ((), ("arrived",), ("picked-up",), ("dropped-off",)):
            if steps:
                await driver.step(ride_id, *steps)
            before = people.installation.in_sql()
            for stranger in strangers:
                await _sees_nothing(stranger, _on_ride(ride_id) + answers)
            assert people.installation.in_sql() == before


async def test_a_stream_tells_only_what_is_meant_for_its_owner(people: People) -> None:
    rider, stranger, driver = people.rider(), people.rider(), people.driver()
    namesake = Driver(people.installation, Role.DRIVER, rider.id, people.http)
    async with stranger.stream() as told_stranger, namesake.stream() as told_namesake, driver.on_shift() as told:
        ride_id = await rider.request_ride()
        await driver.take(told)
        await driver.step(ride_id, "arrived")
        await told.event("DriverArrived", ride_id=ride_id)
        for stream in (told_stranger, told_namesake):
            await stream.say({"type": "ping"})
            assert await stream.frame() == {"type": "pong"}
            assert stream.events == []


async def test_riders_and_operators_do_not_send_pings(people: People) -> None:
    rider = people.rider()
    async with rider.stream() as stream:
        ping = {"t_s": people.installation.now_s(), **BRYANT_PARK}
        await stream.say({"type": "pings", "pings": [ping]})
        assert (await stream.frame())["code"] == "wrong_role"
    answer: httpx.Response = await people.operator().post("/v1/quotes", TRIP)
    assert_problem(answer, 403, "wrong_role")
