"""Pings as MessagePack: by request and on the stream, with the same refusals as JSON."""

from __future__ import annotations

import math

import httpx
import msgspec
import pytest

from tests.api.installation import BRYANT_PARK, Driver, People, assert_problem
from tests.api.test_bad_input import until_stored

pytestmark = pytest.mark.servers


async def send(driver: Driver, body: bytes, media_type: str = "application/msgpack") -> httpx.Response:
    headers = driver.headers | {"Content-Type": media_type}
    return await driver.http.post("/v1/drivers/me/pings", content=body, headers=headers)


async def test_a_batch_may_be_messagepack(people: People) -> None:
    driver = people.driver()
    t_s = driver.installation.now_s()
    body = msgspec.msgpack.encode({"pings": [{"t_s": t_s, **BRYANT_PARK, "speed_mps": math.nan}]})
    assert (await send(driver, body)).json() == {"accepted": 1}
    await until_stored(driver, t_s)
    assert_problem(await send(driver, body, "application/vnd.msgpack"), 409, "ping_duplicate_time")
    for broken in (b"", b"\xc1", body[:-3], b'{"pings": []}', msgspec.msgpack.encode({"pings": []})):
        assert_problem(await send(driver, broken), 422, "invalid_pings")
    nowhere = msgspec.msgpack.encode({"pings": [{"t_s": t_s + 1, "lat_deg": math.nan, "lng_deg": 1.0}]})
    assert_problem(await send(driver, nowhere), 422, "ping_not_finite")
    assert_problem(await send(driver, body, "application/json"), 422, "invalid_pings")


async def test_a_frame_of_bytes_is_messagepack(people: People) -> None:
    driver = people.driver()
    t_s = driver.installation.now_s()
    async with driver.stream() as stream:
        await stream.say(msgspec.msgpack.encode({"type": "pings", "pings": [{"t_s": t_s, **BRYANT_PARK}]}))
        await until_stored(driver, t_s)
        await stream.say(b'{"type": "ping"}')
        assert (await stream.frame())["code"] == "invalid_frame"
        await stream.say(msgspec.msgpack.encode({"type": "ping"}))
        assert await stream.frame() == {"type": "pong"}
