"""Two API processes behind the gateway: one dies, one is told to stop, and riders and drivers notice nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import httpx
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed, WebSocketException

from hexhail.demo.demo import Demo, DemoParams, running_city
from hexhail.runtime.kernel_cache import cache_dir
from tests.api.installation import SPEED, TRIP, Installation, People, Rider
from tests.gateway.running import haproxy, servers_up, until_up
from tests.patience import PATIENCE_S, eventually

#: People who ask at the same time, and who listen.
ASKING, LISTENING = 6, 8

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    haproxy()
    run_dir = tmp_path_factory.mktemp("gateway")
    params = DemoParams(run_dir=run_dir, cache_dir=cache_dir(), speed=SPEED, port=0, apis=2)
    async with running_city(params, print) as demo:
        yield demo


@dataclass
class Load:
    """What became of the requests of people who ask again and again."""

    people: People
    answers: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask from here on, until the end."""
        tasks = [asyncio.create_task(self._ask(self.people.rider())) for _ in range(ASKING)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, rider: Rider) -> None:
        while True:
            for ask in (partial(self._read, rider), self._quote):
                try:
                    answer = await ask()
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                else:
                    self.answers[answer.status_code] += 1
                    if not answer.is_success:
                        self.failures.append(f"{answer.status_code} {answer.text}")
                await asyncio.sleep(0.1)

    async def _read(self, rider: Rider) -> httpx.Response:
        return await rider.get("/v1/drivers/nearby", params=TRIP["pickup"])

    async def _quote(self) -> httpx.Response:
        # Of somebody new each time: nobody may leave sixty quotes unanswered.
        return await self.people.rider().post("/v1/quotes", TRIP, **{"Idempotency-Key": uuid.uuid4().hex})

    async def until_answered(self, more: int) -> None:
        """Wait until so many more requests have been answered."""
        wanted = self.answers.total() + more

        async def are_answered() -> bool:
            return self.answers.total() + len(self.failures) >= wanted

        await eventually(are_answered)


@dataclass
class Listener:
    """A rider with a stream, who connects again when it ends."""

    rider: Rider
    last_seen: int = 0
    #: (when, close code) of each stream that ended.
    ends: list[tuple[float, int | None]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    is_connected: bool = False

    async def listen(self) -> None:
        while True:
            with suppress(WebSocketException, OSError):
                async with self.rider.stream(self.last_seen) as stream:
                    self.is_connected = True
                    try:
                        while True:
                            frame = json.loads(await stream.socket.recv())
                            if frame["type"] == "event":
                                self.last_seen = frame["seq"]
                                self.events.append(frame["event"])
                    except ConnectionClosed:
                        self.ends.append((time.monotonic(), stream.socket.close_code))
            self.is_connected = False
            await asyncio.sleep(0.05)


@asynccontextmanager
async def city_of(demo: Demo) -> AsyncIterator[tuple[Load, list[Listener]]]:
    """People at the gateway, with their streams open at both APIs."""
    installation = Installation(demo.public_url, demo.env)
    async with (
        httpx.AsyncClient(base_url=demo.public_url, timeout=PATIENCE_S, trust_env=False) as http,
        People(installation, http) as people,
    ):
        listeners = [Listener(people.rider()) for _ in range(LISTENING)]
        tasks = [asyncio.create_task(listener.listen()) for listener in listeners]
        try:
            await all_connected(listeners)
            yield Load(people), listeners
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def all_connected(listeners: list[Listener]) -> None:
    async def are_connected() -> bool:
        return all(listener.is_connected for listener in listeners)

    await eventually(are_connected)


async def streams_of(demo: Demo, number: int) -> float:
    """Open streams of riders at an API, by its metrics."""
    url = f"http://127.0.0.1:{demo.ports[f'internal_{number}']}/metrics"
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
        text = (await client.get(url)).text
    return next(
        (float(line.split()[-1]) for line in text.splitlines() if line.startswith('hexhail_api_streams{role="rider"}')),
        0,
    )


async def test_streams_go_to_the_api_with_fewer_of_them(demo: Demo) -> None:
    await until_up(demo.url, 2)
    async with city_of(demo) as (_, listeners):
        assert [await streams_of(demo, number) for number in (1, 2)] == [LISTENING / 2, LISTENING / 2]
        assert not any(listener.ends for listener in listeners)


async def test_an_api_that_is_told_to_stop_finishes_and_its_streams_go_elsewhere_one_by_one(demo: Demo) -> None:
    await until_up(demo.url, 2)
    pid = demo.supervisor.pid("api-1")
    async with city_of(demo) as (load, listeners), load.running():
        await load.until_answered(30)
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        await eventually(lambda: ended(demo, "api-1", pid), every_s=0.05)
        await load.until_answered(60)
        await all_connected(listeners)
        moved = [listener for listener in listeners if listener.ends]
        assert load.failures == []
        assert len(moved) == LISTENING / 2
        assert {code for listener in moved for _, code in listener.ends} == {1012}
        ends_s = sorted(when for listener in moved for when, _ in listener.ends)
        assert ends_s[-1] - ends_s[0] > 0.3, "all streams ended at once"
        await resumed(moved[0])
    await until_up(demo.url, 2)


async def test_an_api_that_is_killed_takes_at_most_one_request_with_it(demo: Demo) -> None:
    await until_up(demo.url, 2)
    pid = demo.supervisor.pid("api-2")
    async with city_of(demo) as (load, listeners), load.running():
        await load.until_answered(30)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await load.until_answered(100)
        await all_connected(listeners)
        assert len(load.failures) <= 1, load.failures
        moved = [listener for listener in listeners if listener.ends]
        assert len(moved) == LISTENING / 2
        await resumed(moved[0])


async def ended(demo: Demo, name: str, pid: int) -> bool:
    return demo.supervisor.pid(name) != pid


async def resumed(listener: Listener) -> None:
    """Say that a stream that was cut tells what happens now."""
    ride_id = await listener.rider.request_ride()

    async def is_told() -> bool:
        return "RideRequested" in listener.events

    await eventually(is_told)
    assert (await listener.rider.ride(ride_id))["ride_id"] == ride_id


@pytest.mark.cluster
async def test_restarting_each_api_in_turn_fails_no_request(demo: Demo) -> None:
    async with city_of(demo) as (load, listeners), load.running():
        for name in ("api-1", "api-2") * 3:
            await until_up(demo.url, 2)
            pid = demo.supervisor.pid(name)
            assert pid is not None
            os.kill(pid, signal.SIGTERM)
            await eventually(lambda name=name, pid=pid: ended(demo, name, pid), every_s=0.05)
            await load.until_answered(60)
        await all_connected(listeners)
        assert load.failures == []
        assert {code for listener in listeners for _, code in listener.ends} == {1012}
        assert await servers_up(demo.url) >= 1
