"""HTTP client of the population: repeats each request under one idempotency key until the API gives a final answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import msgspec
import stamina

from hexhail.demo.population.figures import PopulationFigures

TokenOf = Callable[[str, str], str]
TIMEOUT_S = 10.0
# Enough for the requests of some hundred people at once; more would only queue in the API.
CONNECTIONS_MAX = 64
# Wall seconds between two tries. A supervisor restarts an API within seconds; a client that waits longer than the
# longest would be the slower part.
RETRY_S = 0.1
RETRY_S_MAX = 5.0
UNTIL_ANSWERED = stamina.AsyncRetryingCaller(
    attempts=None, timeout=None, wait_initial=RETRY_S, wait_max=RETRY_S_MAX, wait_jitter=RETRY_S
)


class Person(NamedTuple):
    """The sender of a request: role (`rider` or `driver`) and id."""

    role: str
    person_id: str


class Reply(NamedTuple):
    """An answer that is final: success, or a refusal that another try would not change."""

    status: int
    body: dict[str, Any]

    @property
    def is_ok(self) -> bool:
        """Whether the API did what was asked."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The code of the problem, empty if the answer has none."""
        return str(self.body.get("code", ""))


class _AnsweredLater(Exception):
    """The API asks to be asked again, after so many wall seconds; 0 if it does not say when."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"to be sent again after {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class ApiClient:
    """The REST API for all people of one process; close it by leaving its context."""

    def __init__(self, api_url: str, token_of: TokenOf, figures: PopulationFigures, jitter: random.Random) -> None:
        self._token_of = token_of
        self._figures = figures
        self._jitter = jitter
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
        # Waiting for a free connection is no failure, so the pool has no timeout.
        timeout = httpx.Timeout(TIMEOUT_S, pool=None)
        self._http = httpx.AsyncClient(base_url=api_url, limits=limits, timeout=timeout, trust_env=False)

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def post(
        self, person: Person, path: str, body: dict[str, Any] | None = None, idempotency_key: str = ""
    ) -> Reply:
        """Send until there is an answer."""
        return await self._send(person, "POST", path, body, idempotency_key)

    async def get(self, person: Person, path: str) -> Reply:
        """Ask until there is an answer."""
        return await self._send(person, "GET", path, None, "")

    async def _send(
        self, person: Person, method: str, path: str, body: dict[str, Any] | None, idempotency_key: str
    ) -> Reply:
        content = None if body is None else msgspec.json.encode(body)

        async def send() -> Reply:
            headers = self._headers(person, content, idempotency_key)  # anew each time: a token may have run out
            return await self._send_once(method, path, content, headers)

        return await UNTIL_ANSWERED(self._try_again, send)

    async def _send_once(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Reply:
        """Return a final answer. Raises httpx.TransportError or _AnsweredLater where another try may get one."""
        self._figures.http_requests += 1
        try:
            response = await self._http.request(method, path, content=content, headers=headers)
        except httpx.TransportError as error:
            self._figures.http_errors[type(error).__name__] += 1
            raise
        if response.status_code >= 400:
            self._figures.http_errors[str(response.status_code)] += 1
        if response.status_code >= 500 or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise _AnsweredLater(_retry_after_s(response))
        return Reply(response.status_code, _json_object(response.content))

    def _try_again(self, error: Exception) -> bool | float:
        """Whether another try may get an answer, or after how many seconds: not all at once where the API says when."""
        if isinstance(error, _AnsweredLater) and error.retry_after_s > 0.0:
            return error.retry_after_s * self._jitter.uniform(1.0, 1.5)
        return isinstance(error, httpx.TransportError | _AnsweredLater)

    def _headers(self, person: Person, content: bytes | None, idempotency_key: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._token_of(*person)}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        return headers


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(max(float(response.headers.get("Retry-After", "0")), 0.0), RETRY_S_MAX)
    except ValueError:
        return 0.0


def _json_object(content: bytes) -> dict[str, Any]:
    """Return the object, or an empty one if the answer is something else, such as a proxy's page."""
    try:
        body = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return {}
    return body if isinstance(body, dict) else {}
