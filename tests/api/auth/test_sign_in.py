"""ID tokens of trusted issuers, exchanged for tokens of the API."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from api.auth.issuers import IdTokenRefused, Issuer
from api.auth.sign_in import KEYS_KEPT_S, REFETCH_S, IssuerUnavailable, SignIn
from api.auth.tokens import Principal, Role
from tests.api.auth.issuer import IssuerServer, issuer_server
from tests.api.installation import Installation, Valkey, assert_problem
from tests.api.served import serving
from tests.patience import PATIENCE_S

NOW_S = 1_800_000_000.0


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with issuer_server() as server:
        yield server


class Clock:
    """Wall seconds that the test sets."""

    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def trusted(server: IssuerServer, **changes: Any) -> Issuer:
    return Issuer(**{"name": "idp", "issuer": server.url, "audience": "app", "role": Role.RIDER} | changes)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


async def test_the_same_person_of_an_issuer_has_the_same_id_and_the_issuer_s_role(
    server: IssuerServer, http: httpx.AsyncClient, clock: Clock
) -> None:
    sign_in = SignIn([trusted(server)], http, clock)
    for _ in range(2):
        principal, _ = await sign_in.principal_of(server.sign(NOW_S))
        assert principal == Principal(Role.RIDER, "idp-alice")
    principal, _ = await sign_in.principal_of(server.sign(NOW_S, sub="auth0|5f7c@example"))
    other, _ = await sign_in.principal_of(server.sign(NOW_S, sub="auth0|5f7c@example."))
    assert principal.id.startswith("idp-")
    assert len({principal.id, other.id, "idp-alice"}) == 3
    assert server.asked == ["/.well-known/openid-configuration", "/keys"], "its keys are fetched once"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aud": "another app"}, "not for this service"),
        ({"exp": NOW_S - 10.0}, "it has expired"),
        ({"iat": NOW_S - 700.0}, "issued more than 600 s ago"),
        ({"iat": NOW_S + 60.0}, "issued in the future"),
        ({"iss": "https://elsewhere.example"}, "none that this service trusts"),
        ({"sub": ""}, "no subject"),
        ({"email_verified": False}, "its claim 'email_verified'"),
        ({"email_verified": 1}, "its claim 'email_verified'"),
        ({"groups": ["riders"]}, "its claim 'groups'"),
        ({"groups": None}, "its claim 'groups'"),
    ],
)
async def test_an_id_token_that_proves_nothing_here_is_refused_with_the_reason(
    server: IssuerServer, http: httpx.AsyncClient, clock: Clock, changes: dict[str, Any], said: str
) -> None:
    issuer = trusted(server, claims={"email_verified": True, "groups": "staff"})
    good = {"email_verified": True, "groups": ["riders", "staff"]}
    sign_in = SignIn([issuer], http, clock)
    assert await sign_in.principal_of(server.sign(NOW_S, **good))
    with pytest.raises(IdTokenRefused, match=said):
        await sign_in.principal_of(server.sign(NOW_S, **good | changes))


async def test_a_forged_id_token_is_refused_and_asks_the_issuer_for_nothing_but_an_unknown_key(
    server: IssuerServer, http: httpx.AsyncClient, clock: Clock
) -> None:
    sign_in = SignIn([trusted(server)], http, clock)
    await sign_in.principal_of(server.sign(NOW_S))
    asked = len(server.asked)
    claims = jwt.decode(server.sign(NOW_S), options={"verify_signature": False})
    for forged in ("no token", jwt.encode(claims, "s" * 40, "HS256"), jwt.encode(claims, None, "none")):
        with pytest.raises(IdTokenRefused):
            await sign_in.principal_of(forged)
    with issuer_server() as stranger, pytest.raises(IdTokenRefused, match="no key of its issuer signed it"):
        await sign_in.principal_of(stranger.sign(NOW_S, iss=server.url))
    assert len(server.asked) == asked


async def test_keys_that_an_issuer_rotates_are_fetched_when_a_token_names_them_and_not_for_every_guess(
    server: IssuerServer, http: httpx.AsyncClient, clock: Clock
) -> None:
    sign_in = SignIn([trusted(server)], http, clock)
    await sign_in.principal_of(server.sign(NOW_S))
    server.rotate("second")
    with pytest.raises(IdTokenRefused):
        await sign_in.principal_of(server.sign(NOW_S))
    clock.now_s += REFETCH_S + 1.0
    assert await sign_in.principal_of(server.sign(clock.now_s))
    asked = len(server.asked)
    server.rotate("third")
    for _ in range(5):
        with pytest.raises(IdTokenRefused):
            await sign_in.principal_of(server.sign(clock.now_s))
    assert len(server.asked) == asked


async def test_while_an_issuer_is_away_its_known_keys_go_on_and_without_any_nobody_signs_in(
    server: IssuerServer, http: httpx.AsyncClient, clock: Clock
) -> None:
    sign_in, stranger = SignIn([trusted(server)], http, clock), SignIn([trusted(server)], http, clock)
    await sign_in.principal_of(server.sign(NOW_S))
    server.is_down = True
    clock.now_s += KEYS_KEPT_S + 1.0
    assert await sign_in.principal_of(server.sign(clock.now_s))
    with pytest.raises(IssuerUnavailable):
        await stranger.principal_of(server.sign(clock.now_s))


async def test_an_issuer_that_says_it_is_another_is_not_believed(
    server: IssuerServer, http: httpx.AsyncClient, clock: Clock
) -> None:
    server.says_issuer = "https://elsewhere.example"
    with pytest.raises(IssuerUnavailable):
        await SignIn([trusted(server)], http, clock).principal_of(server.sign(NOW_S))


@pytest.mark.servers
async def test_a_rider_signs_in_at_the_api_asks_for_a_quote_and_reads_the_public_keys(
    own_valkey: Valkey, installation: Installation, server: IssuerServer, tmp_path: Path
) -> None:
    oidc = tmp_path / "oidc.toml"
    oidc.write_text(f'[[oidc.issuers]]\nname = "idp"\nissuer = "{server.url}"\naudience = "app"\nrole = "rider"\n')
    async with (
        serving(own_valkey.port, installation.broker_port, tmp_path, oidc_file=oidc) as served,
        httpx.AsyncClient(base_url=served.url, timeout=PATIENCE_S, trust_env=False) as http,
    ):
        answer = await http.post("/v1/sessions", json={"id_token": server.sign(time.time())})
        session = answer.json()
        assert (answer.status_code, session["role"], session["subject"]) == (201, "rider", "idp-alice")
        headers = {"Authorization": f"Bearer {session['token']}"}
        assert (await http.get("/v1/rides/none", headers=headers)).json()["code"] == "not_found"
        refused = await http.post("/v1/sessions", json={"id_token": server.sign(time.time(), aud="another")})
        assert_problem(refused, 401, "id_token_refused")
        assert (await http.get("/.well-known/jwks.json")).json() == {"keys": []}


async def test_an_installation_without_issuers_says_so(http: httpx.AsyncClient, installation: Installation) -> None:
    answer = await http.post(f"{installation.url}/v1/sessions", json={"id_token": "x"})
    assert_problem(answer, 404, "no_issuers")
