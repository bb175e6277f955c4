"""In a running city a slowed street changes quotes, and changes them back; lies do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
import redis

from tests.patience import eventually
from tests.traffic.running import RunningTown, running_town
from tests.traffic.town import Fleet, row_of

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

ROW = 3
#: Wall seconds for what takes a few updates of two seconds each, on a machine that is busy with other things.
PATIENCE_S = 90.0
#: Updates within which a street that takes three times as long is seen, and seen to be free again.
UPDATES_MAX = 8


@pytest.fixture
async def town(valkey_port: int, broker_port: int, tmp_path: Path) -> AsyncIterator[RunningTown]:
    with redis.Redis(port=valkey_port) as server:
        server.flushall()
    async with running_town(tmp_path, valkey_port, broker_port) as town:
        yield town


Fleets = list[tuple[Fleet, np.ndarray]]


async def driving_until(town: RunningTown, fleets: Fleets, is_seen: Callable[[], Awaitable[bool]]) -> None:
    """Have the fleets drive until something is seen."""
    async with asyncio.timeout(PATIENCE_S):
        while not await is_seen():
            await town.drive(fleets)
            await asyncio.sleep(0.2)


async def version(town: RunningTown) -> int:
    return int((await town.traffic())["version"])


async def test_a_slowed_street_changes_quotes_and_lies_do_not(town: RunningTown) -> None:
    graph = town.graph
    free, slow = np.ones(graph.edge_count), np.ones(graph.edge_count)
    slow[row_of(graph, ROW)] = 3.0
    everywhere, street = Fleet(graph, 24), Fleet(graph, 20, seed=2, along=ROW)

    def driving(factor: np.ndarray) -> Fleets:
        return [(everywhere, factor), (street, factor)]

    # As it is: one update at least, and nothing changed.
    await driving_until(town, driving(free), lambda: at_least(town, 1))

    async def is_followed() -> bool:
        return bool((await town.traffic())["source"] == "learned")

    await eventually(is_followed)  # the API looks once a second
    before = await town.quote(ROW)
    assert before["travel_time_s"] == pytest.approx(140.0, rel=0.1)

    # The street takes three times as long. What was quoted before keeps its price.
    began = await version(town)
    given = [before]

    async def dearer() -> bool:
        given.append(await town.quote(ROW))
        return bool(given[-1]["travel_time_s"] > 1.2 * before["travel_time_s"])

    await driving_until(town, driving(slow), dearer)
    assert await version(town) - began <= UPDATES_MAX
    assert given[-1]["price_cents"] > 1.08 * before["price_cents"]
    assert (await town.ride_of(given[-2]))["fare_cents"] == given[-2]["price_cents"] < given[-1]["price_cents"]

    # It clears.
    began = await version(town)

    async def as_before() -> bool:
        quote = await town.quote(ROW)
        return bool(quote["travel_time_s"] < 1.08 * before["travel_time_s"])

    await driving_until(town, driving(free), as_before)
    assert await version(town) - began <= UPDATES_MAX

    # Everybody pretends to walk: refused, and the weights before it stay.
    honest = await town.quote(ROW)

    async def is_refused() -> bool:
        return "region_pace" in (await town.traffic())["refused"]

    await driving_until(town, [(Fleet(graph, 30, seed=9), free * 7.0)], is_refused)
    assert (await town.quote(ROW))["travel_time_s"] == pytest.approx(honest["travel_time_s"], rel=0.1)

    # The role dies: what it learned counts for `keep_s` more, then free flow again.
    town.kill("traffic")
    async with asyncio.timeout(PATIENCE_S):
        while (await town.traffic())["source"] != "free_flow":
            await asyncio.sleep(0.2)
    assert (await town.quote(ROW))["travel_time_s"] == pytest.approx(140.0)


async def at_least(town: RunningTown, wanted: int) -> bool:
    return await version(town) >= wanted
