"""Functions in a real server: each process calls the code that it ships, whatever versions the server holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from api.abuse.rates import Rate, RouteKind
from api.abuse.redis_counts import RedisPersonCounts
from api.abuse.redis_rates import RedisRates
from api.auth.redis_revocations import RedisRevocations
from api.auth.revocations import revoke_token
from api.auth.tokens import Principal, Role
from backing.inboxes.redis_inboxes import RedisInboxes
from backing.outbox.rows import OutboxRow
from backing.redis.functions import LuaLibrary, RedisFunctions, libraries_of, other_versions, remove_libraries
from dispatch.adapters.redis_leases import RedisLeases
from geo.positions import pack
from geo.roads.graph import RoadGraph
from hexhail.runtime.doctor import FUNCTION_PACKAGES
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.columns import PositionColumns
from pricing.adapters.redis_advice import RedisAdvice
from pricing.adapters.redis_prices import RedisPrices
from pricing.adapters.redis_signals import RedisSignals
from pricing.commands import CountRequest
from pricing.model.surge import SurgeParams
from pricing.ports import KeyedSignal
from traffic.adapters.redis_weights import RedisWeights
from traffic.model import Evidence
from workflows.limits import Counted

pytestmark = pytest.mark.servers

CELL = 0x882A100D61FFFFF


def answering(number: int, function: str = "hexhail_test_answer", library: str = "hexhail_test") -> str:
    """Source of a library whose function answers [number]."""
    body = f"function() return {{{number}}} end"
    return f"#!lua name={library}\nredis.register_function('{function}', {body})\n"


async def names_on(redis: Redis) -> list[str]:
    client: Any = redis
    return sorted(library[1].decode() for library in await client.function_list())


# -- every library that ships ------------------------------------------------------------------------------------------


async def no_token() -> int:
    return 0


async def take_a_lease(redis: Redis) -> Callable[[int], Awaitable[object]]:
    leases = RedisLeases(redis, "grid", no_token)
    return lambda turn: leases.take([(f"driver{turn}", f"ride{turn}")], 0.0, 15.0)


async def rebuild_an_inbox(redis: Redis) -> Callable[[int], Awaitable[object]]:
    inboxes = RedisInboxes(redis)

    async def rebuild(turn: int) -> object:
        row = OutboxRow("ride.events", "ride", 1, "grid", ("rider:alice",), "{}", position=turn + 1)

        async def read() -> list[OutboxRow]:
            return [row]

        await inboxes.rebuild(read)
        return await inboxes.newest()

    return rebuild


async def put_a_position(redis: Redis) -> Callable[[int], Awaitable[object]]:
    cells = RedisCells(redis)

    def put(turn: int) -> Awaitable[int]:
        packed = pack(np.array([turn + 1.0]), *(np.zeros(1) for _ in range(4)))
        nothing = np.zeros(0, np.int64)
        columns = PositionColumns(["driver"], np.array([CELL], np.uint64), packed, nothing, nothing)
        return cells.put("grid", columns, {})

    return put


async def count_a_request(redis: Redis) -> Callable[[int], Awaitable[object]]:
    signals = RedisSignals(redis, "grid", np.array([CELL], np.uint64), 300.0)
    return lambda turn: signals.count_rides([KeyedSignal(f"ride{turn}", 1, 0.0, CountRequest(0, 0.0))])


async def put_weights_in_force(redis: Redis) -> Callable[[int], Awaitable[object]]:
    roads = RoadGraph.from_arrays([47.0, 47.001], [8.0, 8.0], [0], [1], [111.0], [11.0])
    weights, evidence = RedisWeights(redis, "grid", roads), Evidence(0, 0, 0, 1.0, 0, None, None)
    return lambda turn: weights.put(1, np.ones(1), float(turn), evidence)


async def revoke_a_token(redis: Redis) -> Callable[[int], Awaitable[object]]:
    revocations = RedisRevocations(redis)

    async def call(turn: int) -> object:
        await revocations.add(revoke_token(f"t{turn}", time.time(), "operator", "a drill"))
        return len(await revocations.read())

    return call


async def count_a_quote(redis: Redis) -> Callable[[int], Awaitable[object]]:
    counts = RedisPersonCounts(redis, "grid")

    async def call(turn: int) -> object:
        return (await counts.add(Counted.QUOTES, "alice", f"quote{turn}", float(turn), 300.0, 5)).count

    return call


async def take_from_a_budget(redis: Redis) -> Callable[[int], Awaitable[object]]:
    rates = RedisRates(redis)

    async def call(turn: int) -> object:
        return (await rates.take(Principal(Role.RIDER, "alice"), RouteKind.READS, Rate(3, 0.001), turn + 1)).left

    return call


async def write_a_price(redis: Redis) -> Callable[[int], Awaitable[object]]:
    prices = RedisPrices(redis, "grid", SurgeParams())

    async def call(turn: int) -> object:
        await prices.write({CELL: 1.5 + turn}, 0.0, turn + 1)
        return (await prices.read(CELL, 0.0)).multiplier

    return call


async def plan_advice(redis: Redis) -> Callable[[int], Awaitable[object]]:
    board = RedisAdvice(redis, "grid")

    async def call(turn: int) -> object:
        await board.replace({}, float(turn))
        return await board.planned_ms()

    return call


@dataclass(frozen=True)
class Shipped:
    """A library that ships, a call through its adapter, and the right answers of two turns."""

    package: str
    file_name: str
    adapter: Callable[[Redis], Awaitable[Callable[[int], Awaitable[object]]]]
    answers: tuple[object, object]


SHIPPED = [
    Shipped("dispatch.adapters", "leases.lua", take_a_lease, ([1], [2])),
    Shipped("backing.inboxes", "inboxes.lua", rebuild_an_inbox, (1, 2)),
    Shipped("location_ingest.adapters", "cells.lua", put_a_position, (1, 1)),
    Shipped("pricing.adapters", "signals.lua", count_a_request, ([0], [0])),
    Shipped("api.abuse", "gcra.lua", take_from_a_budget, (2, 1)),
    Shipped("pricing.adapters", "prices.lua", write_a_price, (1.5, 2.5)),
    Shipped("pricing.adapters", "advice.lua", plan_advice, (0, 1000)),
    Shipped("traffic.adapters", "weights.lua", put_weights_in_force, (1, 2)),
    Shipped("api.auth", "revocations.lua", revoke_a_token, (1, 2)),
    Shipped("api.abuse", "counts.lua", count_a_quote, (1, 2)),
]


@pytest.fixture(params=SHIPPED, ids=lambda shipped: shipped.file_name)
def shipped(request: pytest.FixtureRequest) -> Shipped:
    found: Shipped = request.param
    return found


@pytest.fixture
async def bare_redis(empty_redis: Redis) -> Redis:
    """A server without data and without functions."""
    await empty_redis.function_flush()
    return empty_redis


async def test_an_older_function_that_the_server_holds_is_never_called(shipped: Shipped, bare_redis: Redis) -> None:
    library = LuaLibrary.read(shipped.package, shipped.file_name)
    for suffix in ("", "_0123456789ab"):
        planted = f"#!lua name={library.base_name}{suffix}\n" + "".join(
            f"redis.register_function('{function}{suffix}', function() return {{77}} end)\n"
            for function in library.functions
        )
        await bare_redis.function_load(planted)
    call = await shipped.adapter(bare_redis)
    assert (await call(0), await call(1)) == shipped.answers


async def test_other_code_under_the_very_name_of_ours_is_replaced(shipped: Shipped, bare_redis: Redis) -> None:
    library = LuaLibrary.read(shipped.package, shipped.file_name)
    planted = f"#!lua name={library.name}\n" + "".join(
        f"redis.register_function('{function}', function() return {{77}} end)\n"
        for function in library.functions.values()
    )
    await bare_redis.function_load(planted)
    call = await shipped.adapter(bare_redis)
    assert (await call(0), await call(1)) == shipped.answers


async def test_functions_flushed_in_mid_use_are_loaded_again(shipped: Shipped, bare_redis: Redis) -> None:
    call = await shipped.adapter(bare_redis)
    first = await call(0)
    await bare_redis.function_flush()
    assert (first, await call(1)) == shipped.answers


def test_the_doctor_knows_every_library_that_ships() -> None:
    known = {library.base_name for library in libraries_of(*FUNCTION_PACKAGES)}
    assert known == {LuaLibrary.read(shipped.package, shipped.file_name).base_name for shipped in SHIPPED}
    top = files("backing").joinpath("..")
    lua = {
        file.name
        for package in ("dispatch", "location_ingest", "pricing", "traffic", "api", "hexhail", "backing")
        for file in top.joinpath(package).rglob("*.lua")
    }
    assert lua == {shipped.file_name for shipped in SHIPPED}


# -- versions side by side ---------------------------------------------------------------------------------------------


async def test_two_versions_at_once_each_call_their_own_code(bare_redis: Redis) -> None:
    old, new = (RedisFunctions(bare_redis, LuaLibrary.of(answering(number))) for number in (77, 78))
    for _ in range(3):
        assert await old.call("hexhail_test_answer", [], []) == [77]
        assert await new.call("hexhail_test_answer", [], []) == [78]
    await bare_redis.function_flush()
    answers = await asyncio.gather(*(one.call("hexhail_test_answer", [], []) for one in (old, new) * 5))
    assert answers == [[77], [78]] * 5
    assert len(await names_on(bare_redis)) == 2


async def test_many_calls_in_one_round_trip_are_made_again_after_a_flush(bare_redis: Redis) -> None:
    source = "#!lua name=hexhail_test\nredis.register_function('hexhail_test_echo', function(k, a) return a[1] end)\n"
    functions = RedisFunctions(bare_redis, LuaLibrary.of(source))
    calls = [([f"key{number}"], [bytes([number, 255])]) for number in range(5)]
    for _ in range(2):
        assert await functions.call_many("hexhail_test_echo", calls) == [bytes([number, 255]) for number in range(5)]
        await bare_redis.function_flush()


async def test_an_error_of_the_function_itself_is_raised(bare_redis: Redis) -> None:
    source = "#!lua name=hexhail_test\nredis.register_function('hexhail_test_fail', function() error('full') end)\n"
    with pytest.raises(ResponseError, match="full"):
        await RedisFunctions(bare_redis, LuaLibrary.of(source)).call("hexhail_test_fail", [], [])


def test_any_change_of_the_source_is_another_version() -> None:
    first, second = LuaLibrary.of(answering(77)), LuaLibrary.of(answering(77) + "-- a comment\n")
    assert first.base_name == second.base_name == "hexhail_test"
    assert first.name != second.name
    assert first == LuaLibrary.of(answering(77))
    assert first.functions["hexhail_test_answer"].removeprefix("hexhail_test_answer") == first.name[-13:]


@pytest.mark.parametrize(
    "source", ["", "return 1", answering(1, library="other"), "#!lua name=hexhail_test\nlocal function f() end\n"]
)
def test_a_source_that_is_no_library_of_ours_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="not a library named hexhail_"):
        LuaLibrary.of(source)


# -- versions that are left over ---------------------------------------------------------------------------------------


async def test_left_over_versions_are_found_and_removed_and_libraries_of_others_stay(bare_redis: Redis) -> None:
    ours = LuaLibrary.of(answering(1))
    left_over = LuaLibrary.of(answering(2))
    await RedisFunctions(bare_redis, left_over).call("hexhail_test_answer", [], [])
    await RedisFunctions(bare_redis, ours).call("hexhail_test_answer", [], [])
    await bare_redis.function_load(answering(3))  # as versions without a hash were
    for foreign in ("hexhail_test_of_others", "someone"):
        await bare_redis.function_load(answering(4, function=foreign, library=foreign))
    assert await other_versions(bare_redis, [ours]) == ["hexhail_test", left_over.name]
    await remove_libraries(bare_redis, ["hexhail_test", left_over.name, "hexhail_test_gone"])
    assert await names_on(bare_redis) == sorted([ours.name, "hexhail_test_of_others", "someone"])


async def test_a_process_whose_version_was_removed_goes_on(bare_redis: Redis) -> None:
    library = LuaLibrary.of(answering(2))
    functions = RedisFunctions(bare_redis, library)
    assert await functions.call("hexhail_test_answer", [], []) == [2]
    await remove_libraries(bare_redis, [library.name])
    assert await functions.call("hexhail_test_answer", [], []) == [2]


async def test_versions_that_pile_up_are_told_of(bare_redis: Redis) -> None:
    with capture_logs() as logs:
        for number in range(4):
            await RedisFunctions(bare_redis, LuaLibrary.of(answering(number))).call("hexhail_test_answer", [], [])
    [told] = logs
    assert told["event"] == "redis_functions_of_other_versions"
    assert told["others"] == sorted(LuaLibrary.of(answering(number)).name for number in range(3))


@pytest.mark.parametrize("protocol", [2, 3])
async def test_left_over_versions_are_found_in_both_protocols(
    valkey_port: int, bare_redis: Redis, protocol: int
) -> None:
    await bare_redis.function_load(LuaLibrary.of(answering(2)).code)
    async with Redis(port=valkey_port, protocol=protocol) as client:
        assert await other_versions(client, [LuaLibrary.of(answering(1))]) == [LuaLibrary.of(answering(2)).name]
