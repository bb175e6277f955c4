"""The population's HTTP client repeats requests until it gets a final answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stamina

from hexhail.demo.population.api_client import ApiClient, Person
from hexhail.demo.population.figures import PopulationFigures

ALICE = Person("rider", "alice")


@pytest.fixture(autouse=True)
def no_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10):
        yield


class Api:
    """Answers with what the test puts in, in order, and keeps what it was sent."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(api: Api) -> ApiClient:
    client = ApiClient(
        "http://api", lambda role, person_id: f"{role}-{person_id}", PopulationFigures(), random.Random(1)
    )
    client._http = httpx.AsyncClient(base_url="http://api", transport=httpx.MockTransport(api))
    return client


async def test_a_request_is_sent_until_it_is_answered_under_the_same_key() -> None:
    api = Api(
        httpx.ConnectError("refused"),
        httpx.Response(503, headers={"Retry-After": "2"}),
        httpx.ReadTimeout("slow"),
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(201, json={"ride_id": "r"}),
    )
    client = client_of(api)
    reply = await client.post(ALICE, "/v1/rides", {"quote_id": "q"}, "key")
    assert (reply.status, reply.body) == (201, {"ride_id": "r"})
    assert {request.headers["Idempotency-Key"] for request in api.requests} == {"key"}
    assert {request.content for request in api.requests} == {b'{"quote_id":"q"}'}
    assert client._figures.http_requests == 6
    assert client._figures.http_errors == {"ConnectError": 1, "503": 1, "ReadTimeout": 1, "429": 1, "500": 1}


async def test_a_refusal_is_an_answer() -> None:
    api = Api(httpx.Response(409, json={"code": "quote_used"}))
    reply = await client_of(api).get(ALICE, "/v1/rides/r")
    assert (reply.is_ok, reply.code, len(api.requests)) == (False, "quote_used", 1)


@pytest.mark.parametrize(("said", "least_s", "most_s"), [("2", 2.0, 3.0), ("600", 5.0, 7.5)])
async def test_people_come_back_after_the_time_that_the_api_says_and_not_all_at_once(
    said: Any, least_s: Any, most_s: Any
) -> None:
    client, waits_s = client_of(Api()), set()
    answer = httpx.Response(503, headers={"Retry-After": said})
    for _ in range(20):
        client._http = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer))
        with pytest.raises(Exception, match="to be sent again") as raised:
            await client._send_once("GET", "http://api/", None, {})
        waits_s.add(client._try_again(raised.value))
    assert all(least_s <= wait_s <= most_s for wait_s in waits_s)
    assert len(waits_s) == 20
