"""A learning policy reads each event of the log once, and continues where the last matcher stopped."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from backing.outbox.outbox import SqlOutbox
from dispatch.adapters.redis_acceptance import RedisAnswersMemory, read_figures
from dispatch.events import OfferDeclined, RideEvent
from dispatch.matching.expected import ExpectedPolicy
from dispatch.metrics import AcceptanceMetrics
from dispatch.service.outbox_reader import KEEP_EVERY_S, OutboxReader
from kernel.contracts import redis_keys
from tests.dispatch.people import accept, decline, do, grid_city, offer, request

pytestmark = pytest.mark.servers

CITY = grid_city(1, 5)


class Matcher:
    """The part of a matcher that reads the outbox."""

    def __init__(self, store: Any, redis: Any, clock: Any, policy: Any = None) -> None:
        self.registry = CollectorRegistry()
        self.policy = policy or ExpectedPolicy(CITY)
        self.reader = OutboxReader(
            region_id="manhattan",
            graph=CITY,
            policy=self.policy,
            tail=store,
            memory=RedisAnswersMemory(redis, "manhattan"),
            metrics=AcceptanceMetrics(self.registry),
            now=clock,
        )

    def gauge(self, name: str, **labels: Any) -> Any:
        return self.registry.get_sample_value(f"hexhail_acceptance_{name}", {"region": "manhattan", **labels})

    @property
    def answers(self) -> Any:
        return self.policy.answers.model.figures().answers


async def published(store: Any) -> None:
    """Give positions to what was committed, as the relay does."""
    await SqlOutbox(store._database).unpublished(1000)


async def some_answers(store: Any, rides: Any) -> None:
    await do(rides, request("one", "alice"), offer("one", "dora", 1), decline("one-1", "dora"))
    await do(rides, offer("one", "dan", 2), accept("one-2", "dan"), request("two", "bob"), offer("two", "dora", 3))
    await published(store)


async def test_answers_are_learned_once_and_reported(store: Any, rides: Any, empty_redis: Redis, clock: Any) -> None:
    matcher = Matcher(store, empty_redis, clock)
    await matcher.reader.start()
    await some_answers(store, rides)
    await matcher.reader.catch_up()
    await matcher.reader.catch_up()
    assert matcher.answers == 2
    assert matcher.gauge("answers") == 2
    assert matcher.gauge("calibration", decile="1", of="count") == 1
    assert matcher.gauge("brier") == pytest.approx((0.85**2 + 0.15**2) / 2, abs=0.05)
    figures = await read_figures(empty_redis, "manhattan")
    assert figures == matcher.policy.answers.model.figures()


async def test_the_next_matcher_goes_on_and_learns_from_an_offer_that_the_last_one_sent(
    store: Any, rides: Any, empty_redis: Redis, clock: Any
) -> None:
    first = Matcher(store, empty_redis, clock)
    await first.reader.start()
    await some_answers(store, rides)
    await first.reader.catch_up()
    await do(rides, accept("two-3", "dora"))
    await published(store)
    second = Matcher(store, empty_redis, clock)
    await second.reader.start()
    assert second.policy.answers.state() == first.policy.answers.state()
    await second.reader.catch_up()
    assert second.answers == 3


@pytest.mark.parametrize("packed", [None, b"not MessagePack", b"\x80"])
async def test_without_a_readable_state_the_last_events_are_read_again(
    store: Any, rides: Any, empty_redis: Redis, clock: Any, packed: Any
) -> None:
    await some_answers(store, rides)
    if packed is not None:
        await empty_redis.hset(redis_keys.acceptance("manhattan"), "state", packed)
    matcher = Matcher(store, empty_redis, clock)
    await matcher.reader.start()
    await matcher.reader.catch_up()
    assert matcher.answers == 2


async def test_a_state_ahead_of_the_log_belongs_to_another_log(
    store: Any, rides: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock)
    matcher.policy.answers.position = 1_000_000
    answers = matcher.policy.answers
    await RedisAnswersMemory(empty_redis, "manhattan").keep(answers.state(), answers.model.figures())
    await some_answers(store, rides)
    await matcher.reader.start()
    await matcher.reader.catch_up()
    assert matcher.answers == 2


async def test_the_learned_state_is_saved_every_few_seconds_not_each_round(
    store: Any, rides: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock)
    await matcher.reader.start()
    await matcher.reader.catch_up()
    await some_answers(store, rides)
    await matcher.reader.catch_up()
    assert (await read_figures(empty_redis, "manhattan")).answers == 0
    clock.now_s += KEEP_EVERY_S
    await matcher.reader.catch_up()
    assert (await read_figures(empty_redis, "manhattan")).answers == 2


class Choosy:
    """A custom policy that observes refusals and fails on the first."""

    observed_events = (RideEvent,)

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def match(self, waiting: Any, supply: Any, params: Any, now_s: float) -> Any:
        return []

    def observe(self, event: Any) -> None:
        if isinstance(event, OfferDeclined):
            raise ValueError("stumbled")  # noqa: TRY004 - whatever it is
        self.heard.append(event.sequence)


async def test_an_event_that_a_policy_fails_on_is_skipped(
    store: Any, rides: Any, empty_redis: Redis, clock: Any
) -> None:
    matcher = Matcher(store, empty_redis, clock, policy=Choosy())
    await matcher.reader.start()
    await some_answers(store, rides)
    for _ in range(3):
        await matcher.reader.catch_up()
    assert len(matcher.policy.heard) == 6
