"""The Faust agent without a broker: Faust's test context, and a service that fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backing.retry import RestartNeeded
from kernel.points import Point
from pricing.adapters import faust_agent
from pricing.adapters.faust_agent import attach, attach_advice
from pricing.model.messages import QuoteAsked, RideEvent
from tests.patience import until

SENT = RideEvent("OfferSent", "ride-1", 1, 1000.5, "grid")
ASKED = QuoteAsked("quote-1", "rider-1", 1000.5, "grid", Point(40.75, -73.98), "QuoteAsked")


def sent(sequence: int) -> bytes:
    return msgspec.json.encode(replace(SENT, sequence=sequence))


class ScriptedService:
    """Stands for the service; fails as often as it is told to."""

    region_id = "grid"
    tick_s = 15.0

    def __init__(self) -> None:
        self.processed: list[RideEvent | None] = []
        self.quotes: list[QuoteAsked | None] = []
        self.failures_left = 0
        self.attempts = 0
        self.ticks: list[float] = []
        self.stood_by = 0

    async def process_rides(self, messages: list[RideEvent | None], now_s: float) -> None:
        self.attempts += 1
        self._fail_if_told()
        self.processed += messages

    async def process_quotes(self, messages: list[QuoteAsked | None], now_s: float) -> None:
        self.quotes += messages

    async def tick(self, now_s: float) -> list[object]:
        self.ticks.append(now_s)
        self._fail_if_told()
        return []

    def stand_by(self) -> None:
        self.stood_by += 1

    def _fail_if_told(self) -> None:
        if self.failures_left > 0:
            self.failures_left -= 1
            # What redis-py lets out while a server goes away.
            raise AttributeError("'NoneType' object has no attribute 'writelines'")


class StoppableApp:
    """What the tick needs of a Faust app."""

    def __init__(self, stop_after: int) -> None:
        self.slept_s: list[float] = []
        self.stop_after = stop_after
        self.tasks: list[Callable[[], Any]] = []

    @property
    def should_stop(self) -> bool:
        return len(self.slept_s) >= self.stop_after

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)

    async def crash(self, error: BaseException) -> None:
        self.crashed = error

    def topic(self, *_: object, **__: object) -> None:
        return None

    def task(self) -> Callable[[Callable[[], Any]], None]:
        return self.tasks.append

    def agent(self, *_: object, **__: object) -> Callable[[object], object]:
        return lambda body: body


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture
async def agent(service: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    import faust

    monkeypatch.setattr(faust_agent, "RETRY_S_MIN", 0.001)
    app = faust.App(
        "pricing-test",
        broker="kafka://127.0.0.1:1",
        datadir=str(tmp_path),
        autodiscover=False,
        loop=asyncio.get_running_loop(),
    )
    attached, _ = attach(
        app, "ride.events", "quotes.asked", service, now_s=lambda: 100.0, wall_duration_s=lambda s: s / 10
    )
    async with attached.test_context() as context:
        yield context
    # Made by Faust for a consumer that the test context never starts.
    app.consumer._thread.thread_loop.close()


async def put_and_wait(agent: Any, service: ScriptedService, values: list[bytes | None]) -> None:
    for value in values:
        await agent.put(value, wait=False)
    await until(lambda: len(service.processed) >= len(values))


async def test_messages_reach_the_service_decoded_and_in_order(agent: Any, service: ScriptedService) -> None:
    await put_and_wait(agent, service, [sent(1), b"\x00\xff", sent(2), b"{}"])
    assert service.processed == [SENT, None, replace(SENT, sequence=2), None]


async def test_a_batch_is_tried_until_it_is_done(agent: Any, service: ScriptedService) -> None:
    service.failures_left = 5
    await put_and_wait(agent, service, [sent(1), sent(2)])
    assert service.processed == [SENT, replace(SENT, sequence=2)]
    assert service.attempts >= 6


async def test_a_stop_ends_the_attempts_and_leaves_the_batch_unacknowledged(service: ScriptedService) -> None:
    class Event:
        message = type("Message", (), {"value": b"1"})

    class Stream:
        def __init__(self) -> None:
            self.acknowledged: list[object] = []

        async def noack_take(self, *_: object, **__: object) -> AsyncIterator[list[Event]]:
            yield [Event()]

        async def ack(self, event: object) -> None:
            self.acknowledged.append(event)

    service.failures_left = 1_000
    app, stream = StoppableApp(stop_after=7), Stream()
    body, _ = attach(app, "ride.events", "quotes.asked", service, now_s=lambda: 0.0, wall_duration_s=lambda s: s)
    await body(stream)
    assert app.slept_s == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert stream.acknowledged == []
    service.failures_left = 0
    await attach(StoppableApp(1), "", "", service, now_s=lambda: 0.0, wall_duration_s=lambda s: s)[0](stream)
    assert len(stream.acknowledged) == 1


async def test_ticks_come_each_tick_of_city_time_and_survive_failures(service: ScriptedService) -> None:
    service.failures_left = 2
    app = StoppableApp(stop_after=4)
    attach(app, "ride.events", "quotes.asked", service, now_s=lambda: 123.0, wall_duration_s=lambda s: s / 10)
    [tick] = app.tasks
    await tick()
    assert service.ticks == [123.0] * 4
    assert app.slept_s == [1.5] * 4


async def test_who_does_not_own_the_region_sets_no_price_and_asks_again_soon(service: ScriptedService) -> None:
    app = StoppableApp(stop_after=4)
    answers = iter([False, False, True, True])

    async def owns() -> bool:
        return next(answers)

    attach(app, "", "", service, now_s=lambda: 1.0, wall_duration_s=lambda s: s, owns=owns)
    await app.tasks[0]()
    assert (service.stood_by, service.ticks) == (2, [1.0, 1.0])
    assert app.slept_s == [faust_agent.STAND_BY_S] * 2 + [service.tick_s] * 2


async def test_who_can_own_nothing_any_more_ends_so_that_it_is_started_again(service: ScriptedService) -> None:
    app = StoppableApp(stop_after=4)

    async def owns() -> bool:
        raise RestartNeeded("the coordination task has ended")

    attach(app, "", "", service, now_s=lambda: 1.0, wall_duration_s=lambda s: s, owns=owns)
    await app.tasks[0]()
    assert isinstance(app.crashed, RestartNeeded)
    assert service.ticks == []


async def test_only_the_owner_of_a_region_advises_its_drivers() -> None:
    class Plans:
        region_id, planned = "grid", 0

        async def plan_once(self, now_s: float) -> None:
            self.planned += 1

    app, plans, answers = StoppableApp(stop_after=3), Plans(), iter([False, True, False])

    async def owns() -> bool:
        return next(answers)

    attach_advice(app, plans, every_s=60.0, now_s=lambda: 1.0, wall_duration_s=lambda s: s, owns=owns)
    await app.tasks[0]()
    assert plans.planned == 1


async def test_the_quote_agent_passes_quotes_to_the_service(service: ScriptedService) -> None:
    class Stream:
        async def noack_take(self, *_: object, **__: object) -> AsyncIterator[list[Any]]:
            yield [type("Event", (), {"message": type("Message", (), {"value": msgspec.json.encode(ASKED)})})]

        async def ack(self, event: object) -> None:
            pass

    app = StoppableApp(stop_after=1)
    _, body = attach(app, "", "", service, now_s=lambda: 0.0, wall_duration_s=lambda s: s)
    await body(Stream())
    assert (service.quotes, service.processed) == ([ASKED], [])
