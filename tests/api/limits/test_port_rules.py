"""What the public port serves, and what the internal one alone; the documentation by a setting."""

from __future__ import annotations

import json
import socket

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api.port_rules import PortRules
from hexhail.roles.api import listening
from hexhail.runtime import embedded
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.settings import Settings
from tests.api.installation import TRIP, People, assert_problem
from tests.api.served import Served
from tests.patience import PATIENCE_S

PUBLIC, INTERNAL = 8080, 9080
FOR_OPERATORS = (
    "/",
    "/assets/map.js",
    "/metrics",
    "/v1/ops/city",
    "/v1/ops/health",
    "/v1/ops/tokens/revoke",
    "/v1/ops/stream",
)
FOR_ALL = ("/healthz", "/readyz", "/v1/quotes", "/v1/surge", "/v1/riders/me/stream", "/v1/drivers/me/pings", "/v1/opsx")


@pytest.mark.parametrize("path", FOR_OPERATORS)
def test_operators_paths_are_served_at_the_internal_port_alone(path: str) -> None:
    rules = PortRules(INTERNAL)
    assert rules.serves(path, INTERNAL)
    assert not rules.serves(path, PUBLIC)


@pytest.mark.parametrize("path", FOR_ALL)
def test_other_paths_are_served_at_every_port(path: str) -> None:
    assert PortRules(INTERNAL).serves(path, PUBLIC)
    assert PortRules(INTERNAL).serves(path, INTERNAL)


@pytest.mark.parametrize("path", ["/docs", "/docs/oauth2-redirect", "/openapi.json", "/static-offline-docs/x.js"])
def test_the_documentation_is_served_if_the_setting_says_so(path: str) -> None:
    for port in (PUBLIC, INTERNAL):
        assert not PortRules(INTERNAL).serves(path, port)
        assert PortRules(INTERNAL, has_docs=True).serves(path, port)


def test_one_port_for_all_serves_all() -> None:
    assert all(PortRules(PUBLIC).serves(path, PUBLIC) for path in (*FOR_OPERATORS, *FOR_ALL))


def test_the_internal_port_is_bound_to_this_machine_unless_told_otherwise() -> None:
    settings = Settings(api_host="0.0.0.0", api_port=0)
    public, internal = listening(settings)
    with public, internal:
        assert public.getsockname()[0] == "0.0.0.0"
        assert internal.getsockname()[0] == "127.0.0.1"


def test_the_internal_port_follows_the_public_one() -> None:
    assert Settings().internal_port_or_default == 9080
    assert Settings(api_port=8083).internal_port_or_default == 9083
    assert Settings(internal_port=7000).internal_port_or_default == 7000
    port = embedded.free_port()
    [only] = listening(Settings(api_port=port, internal_port=port))
    only.close()


def test_a_taken_port_is_named_with_the_setting_that_chooses_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DependencyMissing, match=f"cannot listen on 127.0.0.1:{port}.*set HEXHAIL_API_PORT"):
            listening(Settings(api_port=port, internal_port=0))
        with pytest.raises(DependencyMissing, match="HEXHAIL_INTERNAL_PORT"):
            listening(Settings(api_port=0, internal_port=port))


def public_url(served: Served) -> str:
    return f"http://127.0.0.1:{served.env['HEXHAIL_API_PORT']}"


@pytest.mark.servers
async def test_the_public_port_knows_no_operators_route_and_no_metrics(served: Served, served_people: People) -> None:
    operator, rider = served_people.operator(), served_people.rider()
    async with httpx.AsyncClient(base_url=public_url(served), timeout=PATIENCE_S, trust_env=False) as outside:
        for path in ("/metrics", "/v1/ops/city", "/v1/ops/figures", "/docs", "/openapi.json", "/"):
            answer = await outside.get(path, headers=operator.headers)
            assert_problem(answer, 404, "no_such_route")
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await outside.get("/healthz")).status_code == 200
        assert (await outside.post("/v1/quotes", json=TRIP, headers=rider.headers)).status_code == 201
    for path in ("/metrics", "/v1/ops/city"):
        assert (await operator.get(path)).status_code == 200
    assert (await served_people.http.get("/docs")).status_code == 404


@pytest.mark.servers
async def test_the_public_port_has_streams_of_riders_and_none_of_operators(
    served: Served, served_people: People
) -> None:
    operator, rider = served_people.operator(), served_people.rider()
    url = public_url(served).replace("http", "ws")
    with pytest.raises(InvalidStatus, match="403"):
        await connect(f"{url}/v1/ops/stream", additional_headers=operator.headers, proxy=None)
    async with connect(f"{url}/v1/riders/me/stream", additional_headers=rider.headers, proxy=None) as socket_:
        assert json.loads(await socket_.recv())["type"] == "ready"


@pytest.mark.servers
async def test_the_demo_shows_the_documentation_and_keeps_the_map_inside(people: People) -> None:
    port = people.installation.env["HEXHAIL_API_PORT"]
    assert (await people.http.get("/docs")).status_code == 200
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as outside:
        assert (await outside.get("/docs")).status_code == 200
        assert (await outside.get("/")).status_code == 404
    assert (await people.http.get("/")).status_code == 200
