"""How many requests one person may send: counted together by all processes, and honestly told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import httpx
import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from api.abuse.rates import RATES, US_PER_S, Rate, RouteKind, Verdict, kind_of, take
from api.abuse.redis_rates import RedisRates
from api.abuse.request_limits import ALONE_S, RequestLimits
from api.auth.tokens import Principal, Role
from tests.api.installation import TIMES_SQUARE, TRIP, People, Valkey, assert_problem
from tests.api.served import Served

ALICE, BOB = Principal(Role.RIDER, "alice"), Principal(Role.RIDER, "bob")
RATE = Rate(burst=4, per_s=2.0)
SMALL = {role: dict.fromkeys(RouteKind, RATE) for role in Role}

rates = st.builds(Rate, st.integers(1, 50), st.floats(0.1, 1000.0))
#: Microseconds between requests.
pauses = st.lists(st.integers(0, 3 * US_PER_S), min_size=1, max_size=60)


def judged(rate: Rate, at_us: list[int]) -> list[Verdict]:
    """The verdicts on requests at these times."""
    verdicts, arrival_us = [], 0
    for now_us in at_us:
        verdict, arrival_us = take(rate, arrival_us, now_us)
        verdicts.append(verdict)
    return verdicts


def times_of(pauses_us: list[int]) -> list[int]:
    at_us, now_us = [], 1_700_000_000 * US_PER_S
    for pause_us in pauses_us:
        now_us += pause_us
        at_us.append(now_us)
    return at_us


def test_a_burst_passes_and_then_one_request_in_each_interval() -> None:
    verdicts = judged(RATE, [0, 0, 0, 0, 0, 400_000, 500_000, 500_000, 5_000_000])
    assert [one.is_allowed for one in verdicts] == [True] * 4 + [False] * 2 + [True, False, True]
    assert [one.left for one in verdicts] == [3, 2, 1, 0, 0, 0, 0, 0, 3]
    assert [one.wait_us for one in verdicts[4:6]] == [500_000, 100_000]
    assert RATE.window_s == 2


@given(rates, pauses)
def test_no_window_lets_more_pass_than_the_burst_and_what_refills_meanwhile(rate: Rate, pauses_us: list[int]) -> None:
    at_us = times_of(pauses_us)
    passed = [at for at, verdict in zip(at_us, judged(rate, at_us), strict=True) if verdict.is_allowed]
    for first, began_us in enumerate(passed):
        for count, ended_us in enumerate(passed[first:], start=1):
            assert count <= rate.burst + (ended_us - began_us) // rate.interval_us


@given(rates, pauses)
def test_what_is_told_is_what_comes(rate: Rate, pauses_us: list[int]) -> None:
    at_us = times_of(pauses_us)
    arrival_us = 0
    for now_us in at_us:
        verdict, arrival_us = take(rate, arrival_us, now_us)
        after = judged_from(rate, arrival_us, [now_us] * (verdict.left + 1))
        assert after == [True] * verdict.left + [False]
        if not verdict.is_allowed:
            assert judged_from(rate, arrival_us, [now_us + verdict.wait_us]) == [True]
            assert judged_from(rate, arrival_us, [now_us + verdict.wait_us - 1]) == [False]
            assert verdict.retry_after_s * US_PER_S >= verdict.wait_us
        full = judged_from(rate, arrival_us, [now_us + verdict.full_us] * (rate.burst + 1))
        assert full == [True] * rate.burst + [False]


def judged_from(rate: Rate, arrival_us: int, at_us: list[int]) -> list[bool]:
    allowed = []
    for now_us in at_us:
        verdict, arrival_us = take(rate, arrival_us, now_us)
        allowed.append(verdict.is_allowed)
    return allowed


@pytest.mark.parametrize(("burst", "per_s"), [(0, 1.0), (1, 0.0), (1, float("inf")), (1, float("nan"))])
def test_a_rate_that_is_none_is_refused(burst: int, per_s: float) -> None:
    with pytest.raises(ValueError, match="a rate has"):
        Rate(burst, per_s)


def test_each_role_has_a_rate_for_each_kind_of_route() -> None:
    assert all(set(RATES[role]) == set(RouteKind) for role in Role)
    assert [kind_of(method) for method in ("GET", "HEAD", "POST", "DELETE")] == ["reads", "reads", "writes", "writes"]


@pytest.mark.servers
async def test_redis_counts_as_the_rule_does(empty_redis: redis.asyncio.Redis) -> None:
    shared, draw = RedisRates(empty_redis), random.Random(7)
    for number in range(6):
        rate = Rate(draw.randint(1, 12), draw.choice([0.3, 2.0, 7.0, 333.0]))
        person, arrival_us, now_us = Principal(Role.DRIVER, f"d{number}"), 0, 1_700_000_000 * US_PER_S
        for _ in range(150):
            now_us += draw.choice([0, 0, 1, round(0.4 * rate.interval_us), rate.interval_us, 3 * rate.interval_us])
            expected, arrival_us = take(rate, arrival_us, now_us)
            assert await shared.take(person, RouteKind.READS, rate, now_us) == expected


@pytest.mark.servers
async def test_two_processes_count_together(empty_redis: redis.asyncio.Redis) -> None:
    slow = {role: dict.fromkeys(RouteKind, Rate(4, 0.001)) for role in Role}
    one, other = (RequestLimits(RedisRates(empty_redis), rates=slow) for _ in range(2))
    taken = [await limits.take(ALICE, RouteKind.READS) for limits in (one, other) * 3]
    assert [each.verdict.is_allowed for each in taken if each] == [True] * 4 + [False] * 2
    assert all(each.is_shared for each in taken if each)
    for kind, person in ((RouteKind.WRITES, ALICE), (RouteKind.READS, BOB)):
        apart = await one.take(person, kind)
        assert apart is not None
        assert apart.verdict.left == 3


class Away:
    """Redis, which is away, or silent."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.asked = 0

    async def take(self, principal: Principal, kind: RouteKind, rate: Rate) -> Verdict:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await asyncio.sleep(3600.0)
        raise AssertionError


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize("error", [redis.exceptions.ConnectionError("gone"), OSError("gone"), None], ids=repr)
async def test_while_redis_is_away_each_process_counts_and_does_not_say_what_it_cannot_know(
    error: Exception | None,
) -> None:
    away, clock = Away(error), Clock()
    limits = RequestLimits(away, rates=SMALL, now=clock)
    taken = [await limits.take(ALICE, RouteKind.READS) for _ in range(5)]
    assert [each.verdict.is_allowed for each in taken if each] == [True] * 4 + [False]
    assert away.asked == 1, "nobody waits for a server that is known to be away"
    assert taken[0] is not None
    assert taken[0].headers == {"RateLimit-Policy": '"reads";q=4;w=2'}
    clock.now_s += ALONE_S
    await limits.take(ALICE, RouteKind.READS)
    assert away.asked == 2


async def test_budgets_that_are_full_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.abuse.request_limits.KEPT", 10)
    clock = Clock()
    limits = RequestLimits(Away(OSError("gone")), rates=SMALL, now=clock)
    for number in range(100):
        clock.now_s += 1.0
        await limits.take(Principal(Role.RIDER, f"r{number}"), RouteKind.READS)
    assert len(limits._arrival_us) <= 11


async def test_a_scale_multiplies_every_limit_and_0_is_none() -> None:
    twice = RequestLimits(Away(OSError("gone")), 2.0, SMALL)
    taken = await twice.take(ALICE, RouteKind.READS)
    assert taken is not None
    assert (taken.rate, taken.verdict.left) == (Rate(8, 4.0), 7)
    assert await RequestLimits(Away(OSError("gone")), 0.0, SMALL).take(ALICE, RouteKind.READS) is None


@pytest.fixture
async def limited(served: Served) -> AsyncIterator[Served]:
    """An API with small limits that hardly refill."""
    limits = served.edges.access.limits
    limits._rates = {role: dict.fromkeys(RouteKind, Rate(5, 0.01)) for role in Role}
    return served


@pytest.mark.servers
async def test_answers_say_what_is_left_and_who_is_above_the_limit_is_told_to_wait(
    limited: Served, served_people: People
) -> None:
    rider, other = served_people.rider(), served_people.rider()
    place = TRIP["pickup"]
    answers = [await rider.get("/v1/drivers/nearby", params=place) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
        f'"reads";r={left}' for left in (4, 3, 2, 1, 0, 0)
    ]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"reads";q=5;w=500'}
    assert_problem(answers[-1], 429, "too_many_requests")
    assert 0 < int(answers[-1].headers["retry-after"]) <= 100
    assert (await rider.post("/v1/quotes", TRIP)).status_code == 201, "writes are counted apart"
    assert (await other.get("/v1/drivers/nearby", params=place)).status_code == 200


@pytest.mark.servers
async def test_pings_and_repeated_keys_are_counted_too(limited: Served, served_people: People) -> None:
    driver, rider = served_people.driver(), served_people.rider()
    ping = {"pings": [{"t_s": limited.now_s(), **TIMES_SQUARE}]}
    codes = [(await driver.post("/v1/drivers/me/pings", ping)).status_code for _ in range(6)]
    assert (codes[0], codes[-1]) == (202, 429)
    key = {"Idempotency-Key": "the-same-key-again"}
    answers: list[httpx.Response] = [await rider.post("/v1/quotes", TRIP, **key) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [201] * 5 + [429]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert answers[1].headers["ratelimit"].startswith('"writes";r=3')


@pytest.mark.servers
async def test_without_redis_requests_go_on_and_are_counted_here(
    limited: Served, served_people: People, own_valkey: Valkey
) -> None:
    driver = served_people.driver()
    own_valkey.kill()
    answers = [await driver.post("/v1/drivers/me/status", {"status": "offline"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert all("ratelimit" not in answer.headers for answer in answers)
    own_valkey.start()
