"""Hints name what exists: at a server without interactive documentation nobody is sent to it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

import api
from api.port_rules import PortFilter, PortRules
from api.problems import install


class Body(BaseModel):
    number: int


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI(docs_url=None, openapi_url=None)
    install(app)

    @app.post("/v1/things")
    async def add(body: Body) -> None: ...

    served = PortFilter(app, PortRules(internal_port=1, has_docs=False))
    return httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://127.0.0.1:2")


async def test_hints_of_a_server_without_docs_name_nothing_that_it_does_not_serve(client: httpx.AsyncClient) -> None:
    async with client:
        answers = [
            await client.get("/v1/none"),
            await client.get("/docs"),
            await client.get("/v1/things"),
            await client.post("/v1/things", json={"number": "seven"}),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 405, 422]
        for answer in answers:
            hint = answer.json()["hint"]
            assert "docs" not in hint
            assert "documentation" not in hint
    assert "Allow" in answers[2].json()["hint"]
    assert answers[2].headers["allow"] == "POST"
    assert answers[3].json()["errors"][0]["field"] == "body.number"


def test_no_hint_anywhere_in_the_api_names_the_docs() -> None:
    sent_to_docs = [
        f"{path.name}: {line.strip()}"
        for path in sorted(Path(api.__file__).parent.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if "see /docs" in line.lower()
    ]
    assert sent_to_docs == []
