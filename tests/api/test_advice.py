"""Advice on where to wait reaches a driver by request and by stream, and operators on the map."""

from __future__ import annotations

import asyncio
import json

import pytest
import redis.asyncio
from websockets.asyncio.client import connect

from pricing.adapters.redis_advice import RedisAdvice
from pricing.model.advice import DriverAdvice
from tests.api.installation import People, Valkey
from tests.api.served import Served
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.servers


def advice_at(now_s: float, valid_s: float = 600.0, lat_deg: float = 40.76) -> DriverAdvice:
    return DriverAdvice(lat_deg, -73.98, 120.0, now_s, now_s + valid_s)


async def publish(valkey: Valkey, advice: dict[str, DriverAdvice], now_s: float) -> None:
    """Put a plan where the pricer would put it."""
    async with redis.asyncio.Redis(port=valkey.port) as client:
        await RedisAdvice(client, "manhattan").replace(advice, now_s)


async def test_a_driver_reads_the_advice_that_stands(served: Served, served_people: People, own_valkey: Valkey) -> None:
    driver, other, now_s = served_people.driver(), served_people.driver(), served.now_s()
    assert (await driver.get("/v1/drivers/me/advice")).json() == {"advice": None}
    await publish(own_valkey, {driver.id: advice_at(now_s)}, now_s)
    answer = (await driver.get("/v1/drivers/me/advice")).json()["advice"]
    assert (answer["lat_deg"], answer["drive_s"], answer["expires_s"]) == (40.76, 120.0, now_s + 600.0)
    assert (await other.get("/v1/drivers/me/advice")).json() == {"advice": None}
    assert (await served_people.rider().get("/v1/drivers/me/advice")).status_code == 403


async def test_expired_advice_is_not_returned(served: Served, served_people: People, own_valkey: Valkey) -> None:
    driver, now_s = served_people.driver(), served.now_s()
    await publish(own_valkey, {driver.id: advice_at(now_s - 700.0)}, now_s)
    assert (await driver.get("/v1/drivers/me/advice")).json() == {"advice": None}


async def test_new_advice_is_sent_once_per_connection(
    served: Served, served_people: People, own_valkey: Valkey
) -> None:
    driver, other, now_s = served_people.driver(), served_people.driver(), served.now_s()
    async with driver.stream() as stream, other.stream() as foreign:
        await publish(own_valkey, {driver.id: advice_at(now_s)}, now_s)
        frame = await stream.frame()
        assert (frame["type"], frame["lat_deg"], frame["given_s"]) == ("advice", 40.76, now_s)
        # The next plan keeps it, so it is not told again; another place is.
        await publish(own_valkey, {driver.id: advice_at(now_s)}, now_s + 1.0)
        await asyncio.sleep(1.5)
        moved = advice_at(now_s + 2.0, lat_deg=40.77)
        await publish(own_valkey, {driver.id: moved}, now_s + 2.0)
        assert (await stream.frame())["lat_deg"] == 40.77
        await foreign.say({"type": "ping"})
        assert await foreign.frame() == {"type": "pong"}
    async with driver.stream() as stream:
        assert (await stream.frame())["lat_deg"] == 40.77


async def test_operators_see_where_idle_drivers_are_advised_to_wait(people: People) -> None:
    driver, operator, now_s = people.driver(), people.operator(), people.installation.now_s()
    valkey_url = people.installation.env["HEXHAIL_REDIS_URL"]
    url = people.installation.url.replace("http", "ws") + "/v1/ops/stream"
    shown = {"driver_id": driver.id, "lat_deg": 40.76, "lng_deg": -73.98}
    advice = {driver.id: advice_at(now_s, valid_s=1e6), "absent": advice_at(now_s, valid_s=1e6)}
    async with (
        redis.asyncio.Redis.from_url(valkey_url) as client,
        connect(url, additional_headers=operator.headers, proxy=None) as socket,
        driver.on_shift(),
        asyncio.timeout(PATIENCE_S),
    ):
        frame = json.loads(await socket.recv())
        while frame["advice"] != [shown]:
            # Again and again, for the pricer of this city makes plans of its own.
            await RedisAdvice(client, "manhattan").replace(advice, people.installation.now_s())
            frame = json.loads(await socket.recv())
    assert frame["advice"] == [shown]
