"""What the gateway does with each request, on a real HAProxy before servers that say what came to them."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hexhail.gateway.config import BODY_BYTES_CUT
from hexhail.gateway.params import ApiAddress
from hexhail.runtime import embedded
from tests.gateway.running import Echo, Gateway, echoing, gateway, until_up
from tests.gateway.test_config import certificate
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.servers


def client(gateway: Gateway, **more: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.url, timeout=PATIENCE_S, trust_env=False, **more)


def running(echoes: list[Echo], folder: Path, **more: Any) -> AbstractAsyncContextManager[Gateway]:
    return gateway([echo.address for echo in echoes], folder, **more)


def headers_in(answer: httpx.Response) -> dict[str, list[str]]:
    """The headers that the server got."""
    found: dict[str, list[str]] = {}
    for line in answer.json()[1:]:
        name, _, value = line.partition(": ")
        if name:
            found.setdefault(name.lower(), []).append(value)
    return found


async def test_the_servers_are_told_who_asks_and_believe_no_client(tmp_path: Path) -> None:
    async with echoing() as [echo]:
        async with running([echo], tmp_path) as entrance:
            await until_up(entrance.internal_url, 1)
            forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
            async with client(entrance) as http:
                answers = [await http.get("/v1/x", headers=forged | {"X-Request-Id": "mine"}) for _ in range(2)]
            got = [headers_in(answer) for answer in answers]
            assert got[0]["x-forwarded-for"] == ["127.0.0.1"]
            assert got[0]["x-forwarded-proto"] == ["http"]
            assert not {"forwarded", "x-real-ip"} & set(got[0])
            ids = [one["x-request-id"][0] for one in got]
            assert len(set(ids)) == 2
            assert all(re.fullmatch(r"[0-9a-f-]{36}", one) for one in ids)
            assert [answer.headers["x-request-id"] for answer in answers] == ids
        async with running([echo], tmp_path, trusted_proxies=["127.0.0.0/8"]) as behind_another:
            await until_up(behind_another.internal_url, 1)
            async with client(behind_another) as http:
                answer = await http.get("/v1/x", headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
            assert headers_in(answer)["x-forwarded-for"] == ["203.0.113.9"]


CLOSED = (
    "/",
    "/metrics",
    "/docs",
    "/docs/oauth2-redirect",
    "/openapi.json",
    "/static-offline-docs/x.js",
    "/assets/map.js",
    "/v1/ops/city",
    "/v1/ops/health",
    "/v1/ops/stream",
    "/v1/%6fps/city",
    "/metric%73",
)
OPEN = ("/healthz", "/v1/quotes", "/v1/opsx", "/v1/riders/me/stream", "/metricsx")


async def test_operators_routes_metrics_and_documentation_are_closed_to_the_world(tmp_path: Path) -> None:
    async with echoing() as [echo], running([echo], tmp_path) as entrance:
        await until_up(entrance.internal_url, 1)
        async with client(entrance) as http:
            for path in CLOSED:
                answer = await http.get(path)
                assert (answer.status_code, answer.json()["code"]) == (404, "no_such_route"), path
                assert answer.headers["content-type"] == "application/problem+json"
            assert echo.heads == []
            for path in OPEN:
                assert (await http.get(path)).status_code == 200, path
        async with httpx.AsyncClient(base_url=entrance.internal_url, trust_env=False) as inside:
            assert (await inside.get("/v1/ops/city")).status_code == 200
            assert "haproxy_server_status" in (await inside.get("/metrics")).text


async def test_who_sends_more_than_the_limits_waits_and_nobody_else(tmp_path: Path) -> None:
    async with echoing() as [echo]:
        limits = {"token_requests_per_s": 1, "address_requests_per_s": 3}
        async with running([echo], tmp_path, **limits) as entrance:
            await until_up(entrance.internal_url, 1)
            async with client(entrance) as http:

                async def send(token: str | None, count: int) -> list[int]:
                    headers = {"Authorization": f"Bearer {token}"} if token else {}
                    return [(await http.get("/v1/x", headers=headers)).status_code for _ in range(count)]

                assert await send("alice", 12) == [200] * 10 + [429] * 2
                assert await send("bob", 10) == [200] * 10
                assert await send(None, 9) == [200] * 8 + [429]
                refused = await http.get("/v1/x")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "10"
    assert refused.headers["x-request-id"]


async def test_a_forged_token_uses_up_nobody_elses_budget(tmp_path: Path) -> None:
    # Both claim to be alice; the second one is signed by nobody.
    genuine, forged = "e30.eyJzdWIiOiJhbGljZSJ9.genuine", "e30.eyJzdWIiOiJhbGljZSJ9.forged"
    async with echoing() as [echo], running([echo], tmp_path, token_requests_per_s=1) as entrance:
        await until_up(entrance.internal_url, 1)
        async with client(entrance) as http:
            codes = [
                (await http.get("/v1/x", headers={"Authorization": f"Bearer {token}"})).status_code
                for token in [forged] * 15 + [genuine]
            ]
    assert codes[-2:] == [429, 200]


async def test_a_huge_body_is_refused_at_its_head(tmp_path: Path) -> None:
    head = f"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES_CUT + 1}\r\n\r\n"
    async with echoing() as [echo], running([echo], tmp_path) as entrance:
        await until_up(entrance.internal_url, 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance.params.port)
        writer.write(head.encode())
        async with asyncio.timeout(PATIENCE_S):
            said = await reader.readuntil(b"}")
        writer.close()
    assert b" 413 " in said.splitlines()[0]
    assert b'"body_too_large"' in said
    assert echo.heads == []


async def test_when_no_api_serves_people_read_whom_to_call_and_apps_when_to_come_back(tmp_path: Path) -> None:
    port = embedded.free_port()
    nobody = [ApiAddress("127.0.0.1", port, port)]
    async with gateway(nobody, tmp_path, phone="+1 (212) 555-0100") as entrance:
        await until_up(entrance.internal_url, 0)
        async with client(entrance) as http:
            for path in ("/", "/v1/quotes"):
                page = await http.get(path, headers={"Accept": "text/html,*/*"})
                assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
                assert '<a href="tel:+12125550100">+1 (212) 555-0100</a>' in page.text
                assert int(page.headers["retry-after"]) >= 1
            problem = await http.post("/v1/quotes", json={})
            assert (problem.status_code, problem.json()["code"]) == (503, "service_away")
            assert int(problem.headers["retry-after"]) >= 1
            assert (await http.get("/gateway/healthz")).status_code == 503


async def status_of(asking: Awaitable[httpx.Response]) -> int | None:
    """The status of the answer; None for a connection that is closed without one."""
    try:
        return (await asking).status_code
    except httpx.RemoteProtocolError:
        return None


async def status_of_keyed(entrance: Gateway) -> int:
    """The status of the answer to a POST with a key, whose body comes a moment after its head, as from a phone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", entrance.params.port)
    head = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a-key\r\nContent-Length: 2\r\n\r\n"
    for part in (head, b"{}"):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE_S):
        status = int((await reader.readline()).split()[1])
    writer.close()
    return status


async def test_a_request_is_repeated_where_nothing_was_sent_or_repeating_is_safe(tmp_path: Path) -> None:
    async with echoing(2) as echoes, running(echoes, tmp_path) as entrance:
        await until_up(entrance.internal_url, 2)
        echoes[0].hang_up = True  # it dies whenever it has read a request
        async with client(entrance) as http:
            reads = [(await http.get("/v1/x")).status_code for _ in range(4)]
            keyed = [await status_of_keyed(entrance) for _ in range(4)]
            got = len(echoes[1].heads)
            plain = [await status_of(http.post("/v1/x")) for _ in range(4)]
    assert reads == keyed == [200] * 4
    # What it did with the others nobody knows: they are not sent again.
    assert plain.count(200) == len(echoes[1].heads) - got < 4


async def test_with_a_certificate_the_gateway_speaks_tls_and_http_2(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(pem))
    async with echoing() as [echo], running([echo], tmp_path, tls_cert=pem) as entrance:
        await until_up(entrance.internal_url, 1)
        async with client(entrance, verify=context) as http:
            answer = await http.get("/v1/x")
        assert headers_in(answer)["x-forwarded-proto"] == ["https"]
        context.set_alpn_protocols(["h2"])
        _, writer = await asyncio.open_connection("127.0.0.1", entrance.params.port, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()


@pytest.mark.cluster
async def test_a_client_that_never_ends_its_request_is_hung_up_on(tmp_path: Path) -> None:
    async with echoing() as [echo], running([echo], tmp_path) as entrance:
        await until_up(entrance.internal_url, 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance.params.port)
        writer.write(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        async with asyncio.timeout(PATIENCE_S):
            said = await reader.read()
        writer.close()
    assert b" 408 " in said.splitlines()[0]
    assert echo.heads == []
