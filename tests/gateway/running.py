"""A gateway of a test's own, and servers that say what came to them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hexhail.gateway.haproxy import find_haproxy, haproxy_command, write_config
from hexhail.gateway.params import ApiAddress, GatewayParams
from hexhail.runtime import embedded
from hexhail.runtime.connections import DependencyMissing
from tests.patience import PATIENCE_S, eventually


def haproxy() -> Path:
    """The program; skips, with a word how to get it, where there is none."""
    try:
        return find_haproxy()
    except DependencyMissing as why:
        pytest.skip(str(why))


@dataclass
class Gateway:
    """A running HAProxy."""

    params: GatewayParams
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.params.port}"

    @property
    def internal_url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.params.internal_port}"

    @property
    def _scheme(self) -> str:
        return "http" if self.params.tls_cert is None else "https"


@asynccontextmanager
async def gateway(apis: list[ApiAddress], folder: Path, **more: Any) -> AsyncIterator[Gateway]:
    """Run a gateway before the APIs."""
    port, internal_port = embedded.free_ports(2)
    params = replace(GatewayParams(apis), port=port, internal_port=internal_port, **more)
    with (folder / "gateway.log").open("wb") as log:
        command = haproxy_command(haproxy(), write_config(params, folder))
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        await embedded.wait_for_port(port, "the gateway", PATIENCE_S)
        yield Gateway(params, process)
    finally:
        process.kill()
        process.wait(PATIENCE_S)


async def servers_up(internal_url: str) -> int:
    """How many APIs the gateway sends requests to, by its own metrics."""
    async with httpx.AsyncClient(base_url=internal_url, timeout=PATIENCE_S, trust_env=False, verify=False) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    up = 'state="UP"'
    return sum(
        line.startswith('haproxy_server_status{proxy="requests"') and up in line and line.endswith(" 1")
        for line in lines
    )


async def until_up(internal_url: str, count: int) -> None:
    async def are_up() -> bool:
        with suppress(httpx.HTTPError):
            return await servers_up(internal_url) == count
        return False

    await eventually(are_up, every_s=0.1)


@dataclass
class Echo:
    """An API that answers with the head of what it is sent; it may hang up instead."""

    port: int = 0
    hang_up: bool = False
    heads: list[str] = field(default_factory=list)
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def address(self) -> ApiAddress:
        return ApiAddress("127.0.0.1", self.port, self.port)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections[task] = writer
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                if not head.startswith("GET /readyz"):
                    self.heads.append(head)
                    if self.hang_up:
                        break
                body = json.dumps(head.splitlines()).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        writer.close()

    async def close(self) -> None:
        """Hang up, and return when no connection is open."""
        for writer in self.connections.values():
            writer.close()
        await asyncio.gather(*self.connections, return_exceptions=True)


@asynccontextmanager
async def echoing(count: int = 1) -> AsyncIterator[list[Echo]]:
    echoes = [Echo() for _ in range(count)]
    servers = [await asyncio.start_server(echo.answer, "127.0.0.1", 0) for echo in echoes]
    for echo, server in zip(echoes, servers, strict=True):
        echo.port = server.sockets[0].getsockname()[1]
    try:
        yield echoes
    finally:
        for server, echo in zip(servers, echoes, strict=True):
            server.close()
            await echo.close()
