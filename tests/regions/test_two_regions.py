"""Two regions over the same stores, half a world apart: money, clocks, prices and cells stay what they are.

And `kill -9` of their pricer: prices fade, quotes go on, nothing that was counted is lost or doubled.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from geo.cells import cells_to_strings, latlng_to_cells
from kernel.contracts import redis_keys
from kernel.contracts.topics import RIDE_EVENTS_STREAM, RIDE_EVENTS_TOPIC
from tests.api.two_regions import CITIES, ServedCities, Town
from tests.patience import eventually, until

pytestmark = pytest.mark.servers

HALF_LIFE_S = 300.0


async def test_two_regions_share_an_installation_and_nothing_else(towns: dict[str, Town]) -> None:
    minato, harlem = towns["minato"], towns["harlem"]
    # 1.2 km in 120 s: 500 + 120 + 60 = 680 yen, a fifth more by night, in tens; and 250 + 120 + 60 cents by day.
    here, there = await minato.quote(minato.people.rider()), await harlem.quote(harlem.people.rider())
    assert (here["price_cents"], here["currency"], here["minor_unit_digits"]) == (820, "JPY", 0)
    assert {"name": "surcharge:night", "cents": 136} in here["lines"]
    assert (there["price_cents"], there["currency"], there["minor_unit_digits"]) == (430, "USD", 2)
    away = await harlem.people.rider().post("/v1/quotes", minato.trip)
    assert (away.status_code, away.json()["code"]) == (422, "outside_region")

    drivers = {name: town.people.driver() for name, town in towns.items()}
    # At once: each driver is asked for the ride of the own town, and only for that.
    (_, in_minato), (agreed, in_harlem) = await asyncio.gather(
        minato.drive(drivers["minato"], None), harlem.drive(drivers["harlem"], harlem.crossing(5, 5))
    )
    assert (in_minato["state"], in_minato["region_id"], in_minato["fare_cents"]) == ("COMPLETED", "minato", 820)
    assert in_minato["receipt"]["changes"] == []
    # The rider left four streets farther: 0.8 km more, but the time as it was driven; half of the quote at most.
    assert in_harlem["receipt"]["changes"] == ["dropoff"]
    assert in_harlem["receipt"]["distance_m"] == 2_000.0
    assert agreed["price_cents"] < in_harlem["fare_cents"] <= agreed["price_cents"] * 1.5

    with redis.Redis(port=minato.people.installation.redis_port, decode_responses=True) as server:
        held = {name: set(server.hkeys(redis_keys.driver_index(name))) for name in CITIES}
        assert held == {name: {driver.id} for name, driver in drivers.items()}
        assert all(server.hlen(redis_keys.tariffs(name)) == 1 for name in CITIES)
        # A request, an offer, its acceptance and three steps of the driver, counted where they happened.
        consumed = "6"
        totals = [redis_keys.totals(name) for name in CITIES]
        await until(lambda: all(server.hget(key, redis_keys.RIDE_EVENTS_CONSUMED) == consumed for key in totals))


async def test_a_wrong_tariff_of_one_region_is_refused_while_both_go_on(towns: dict[str, Town]) -> None:
    minato, harlem = towns["minato"], towns["harlem"]
    before = await minato.quote(minato.people.rider())
    text = (minato.folder / "city.toml").read_text()
    (minato.folder / "city.toml").write_text(text.replace("base_cents = 500", "base_cents = -500"))
    operator = minato.people.operator()

    async def refused() -> dict[str, Any] | None:
        tariff: dict[str, Any] = (await operator.get("/v1/ops/tariff")).json()
        return tariff if tariff["refusal"] else None

    told = await eventually(refused, every_s=0.1)
    assert (told["refusal"]["line"], told["refusal"]["key"]) == (13, "tariff.base_cents")
    assert told["refusal"]["expected"] == "a whole number of minor units, at least 0"
    during = await minato.quote(minato.people.rider())
    assert told["version"] == before["tariff_version"] == during["tariff_version"]
    assert {"name": "base", "cents": 500} in during["lines"]
    assert (await harlem.people.operator().get("/v1/ops/tariff")).json()["refusal"] is None
    (minato.folder / "city.toml").write_text(text.replace("base_cents = 500", "base_cents = 600"))

    async def quoted_by_the_next() -> dict[str, Any] | None:
        quote = await minato.quote(minato.people.rider())
        return None if quote["tariff_version"] == before["tariff_version"] else quote

    after = await eventually(quoted_by_the_next, every_s=0.1)
    assert {"name": "base", "cents": 600} in after["lines"]


def pid_of(served: ServedCities, name: str) -> int:
    pids: dict[str, int] = json.loads((served.folder / "workers" / "logs" / "processes.json").read_text())
    return pids[name]


@dataclass
class Corner:
    """What is known of demand and price in the cell where everybody asks for rides."""

    town: Town
    served: ServedCities
    server: redis.Redis

    @property
    def region_id(self) -> str:
        return self.town.folder.name

    @property
    def cell(self) -> str:
        place = self.town.crossing(0, 0)
        return cells_to_strings(latlng_to_cells(place["lat_deg"], place["lng_deg"], 8))[0]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The committed events of the region's rides."""
        path = self.served.env["HEXHAIL_DATABASE_URL"].removeprefix("sqlite:///")
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            text = "SELECT payload FROM outbox_rows WHERE stream = ? AND region_id = ? ORDER BY id"
            rows = connection.execute(text, (RIDE_EVENTS_STREAM, self.region_id))
            return [json.loads(payload) for (payload,) in rows]
        finally:
            connection.close()

    def demand_by_the_events(self, at_s: float, until_s: float = float("inf")) -> float:
        """The truth: each request until then, half as much after each half-life."""
        asked_s = [event["at_s"] for event in self.events if event["event"] == "RideRequested"]
        return sum(0.5 ** ((at_s - one_s) / HALF_LIFE_S) for one_s in asked_s if one_s <= until_s)

    def counted(self) -> tuple[float, float]:
        """The pricer's count, and the city time it is decayed to."""
        count, _, counted_ms = self.server.hget(redis_keys.requests(self.region_id), self.cell).partition("|")
        return float(count), int(counted_ms) / 1e3

    async def price(self) -> dict[str, Any]:
        price: dict[str, Any] = (await self.town.people.operator().get(f"/v1/surge?cell={self.cell}")).json()
        return price

    async def is_dear(self) -> bool:
        """Whether the price has come well above the base."""
        return bool((await self.price())["multiplier"] > 1.3)

    async def changes(self, since_s: float) -> list[dict[str, Any]]:
        """The record of the cell, the oldest first."""
        path = f"/v1/ops/surge/history?cell={self.cell}&since={since_s}"
        changes: list[dict[str, Any]] = (await self.town.people.operator().get(path)).json()["changes"]
        return changes[::-1]

    async def all_are_counted(self) -> bool:
        """Every committed event has been taken in."""
        counted = self.server.hget(redis_keys.totals(self.region_id), redis_keys.RIDE_EVENTS_CONSUMED)
        return int(counted or 0) == len(self.events)

    async def ask_for_rides(self, count: int) -> None:
        for _ in range(count):
            rider = self.town.people.rider()
            await self.town.request(rider, await self.town.quote(rider, seats=8))


@pytest.fixture
async def corner(served_cities: ServedCities, towns: dict[str, Town]) -> AsyncIterator[Corner]:
    """Twelve riders ask where one driver waits who has not seats enough for any of them: the price has risen."""
    town = towns["harlem"]
    port = int(served_cities.env["HEXHAIL_REDIS_URL"].rpartition(":")[2].split("/")[0])
    with redis.Redis(port=port, decode_responses=True) as server:
        async with town.people.driver().on_shift(town.crossing(0, 0)):
            corner = Corner(town, served_cities, server)
            await corner.ask_for_rides(12)
            await eventually(corner.is_dear)
            await eventually(corner.all_are_counted)
            yield corner


async def test_a_killed_pricer_leaves_prices_that_fade_and_the_next_one_knows_all_that_it_knew(corner: Corner) -> None:
    counted_s = max(event["at_s"] for event in corner.events)
    os.kill(pid_of(corner.served, "pricer"), signal.SIGKILL)
    await asyncio.sleep(0.05)  # what it had sent to Redis is there
    price = standing = await corner.price()
    prices, quotes = list[float](), list[float]()
    await corner.ask_for_rides(3)
    while price["updated_s"] == standing["updated_s"]:
        prices.append(price["multiplier"])
        if len(quotes) % 50 == 0:
            rider = corner.town.people.rider()  # one person may leave no more quotes unanswered
        quotes.append((await corner.town.quote(rider))["surge_multiplier"])
        await asyncio.sleep(0.02)
        price = await corner.price()
    quotes.pop()  # the last may be by the next pricer's first price
    # All of it for half its life, then less and less, then nothing.
    assert prices[0] > 1.3
    assert prices == sorted(prices, reverse=True)
    assert quotes == sorted(quotes, reverse=True)
    assert prices[-1] == quotes[-1] == 1.0
    assert set(prices) - {prices[0], 1.0}, prices

    # What its very first decision was made on: every request from before its death, with its age.
    changes = await corner.changes(0.0)
    place = next(n for n, change in enumerate(changes) if change["at_s"] > price["updated_s"] - 0.001)
    first = changes[place]
    assert first["multiplier_before"] == changes[place - 1]["multiplier"] > 1.3
    assert "faded" in [bound["bound"] for bound in first["bounds"]]
    known = corner.demand_by_the_events(first["at_s"], until_s=counted_s)
    assert first["requests"] == pytest.approx(known, rel=1e-4) or known < first["requests"] < known + 3.0
    await eventually(corner.all_are_counted)
    count, at_s = corner.counted()
    assert count == pytest.approx(corner.demand_by_the_events(at_s), rel=1e-4)


async def test_events_that_come_again_and_late_change_nothing(corner: Corner) -> None:
    before = corner.counted()
    repeated = await say_all_again(corner)
    assert repeated >= 12
    await asyncio.sleep(0.5)  # Anything that the repetitions moved would stand by now, and the next request ends them.
    assert corner.counted() == before
    await corner.ask_for_rides(1)
    await eventually(corner.all_are_counted)
    count, at_s = corner.counted()
    assert count == pytest.approx(corner.demand_by_the_events(at_s), rel=1e-4)
    consumed = int(corner.server.hget(redis_keys.totals(corner.region_id), redis_keys.RIDE_EVENTS_CONSUMED))
    assert consumed == len(corner.events)


async def say_all_again(corner: Corner) -> int:
    """Put every message of the region's rides on the topic once more, the newest first; returns how many."""
    broker, key = corner.served.env["HEXHAIL_BROKER_URL"], corner.region_id.encode()
    async with AsyncExitStack() as stack:
        consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
        producer = AIOKafkaProducer(bootstrap_servers=broker)
        for client in (consumer, producer):
            await client.start()
            stack.push_async_callback(client.stop)
        partitions = [TopicPartition(RIDE_EVENTS_TOPIC, p) for p in consumer.partitions_for_topic(RIDE_EVENTS_TOPIC)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        messages: list[Any] = []
        while len(messages) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                messages += batch
        ours = [message for message in messages if message.key == key]
        for message in reversed(ours):
            await producer.send_and_wait(RIDE_EVENTS_TOPIC, message.value, key=key, partition=message.partition)
    return len(ours)
