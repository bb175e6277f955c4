"""Two regions over the same stores, half a world apart: money, clocks, prices and cells stay what they are."""

from __future__ import annotations

import asyncio

import pytest
import redis

from tests.api.two_regions import CITIES, Town

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]


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
    assert (in_minato["state"], in_minato["region"], in_minato["fare_cents"]) == ("COMPLETED", "minato", 820)
    assert in_minato["receipt"]["changes"] == []
    # The rider left four streets farther: 0.8 km more, but the time as it was driven; half of the quote at most.
    assert in_harlem["receipt"]["changes"] == ["dropoff"]
    assert in_harlem["receipt"]["distance_m"] == 2_000.0
    assert agreed["price_cents"] < in_harlem["fare_cents"] <= agreed["price_cents"] * 1.5

    with redis.Redis(port=minato.people.installation.redis_port, decode_responses=True) as server:
        held = {name: set(server.hkeys(f"{{{name}}}:index")) for name in CITIES}
        assert held == {name: {driver.id} for name, driver in drivers.items()}
        assert all(server.hlen(f"{{{name}}}:tariffs") == 1 for name in CITIES)
        # A request, an offer, its acceptance and three steps of the driver, counted where they happened.
        async with asyncio.timeout(60):
            while any(server.hget(f"{{{name}}}:totals", "ride_events_consumed") != "6" for name in CITIES):
                await asyncio.sleep(0.1)


async def test_a_wrong_tariff_of_one_region_is_refused_while_both_go_on(towns: dict[str, Town]) -> None:
    minato, harlem = towns["minato"], towns["harlem"]
    before = await minato.quote(minato.people.rider())
    text = (minato.folder / "city.toml").read_text()
    (minato.folder / "city.toml").write_text(text.replace("base_cents = 500", "base_cents = -500"))
    operator = minato.people.operator()
    async with asyncio.timeout(60):
        while (told := (await operator.get("/v1/ops/tariff")).json())["refusal"] is None:
            await asyncio.sleep(0.2)
    assert (told["refusal"]["line"], told["refusal"]["key"]) == (13, "tariff.base_cents")
    assert told["refusal"]["expected"] == "a whole number of minor units, at least 0"
    during = await minato.quote(minato.people.rider())
    assert told["version"] == before["tariff_version"] == during["tariff_version"]
    assert {"name": "base", "cents": 500} in during["lines"]
    assert (await harlem.people.operator().get("/v1/ops/tariff")).json()["refusal"] is None
    (minato.folder / "city.toml").write_text(text.replace("base_cents = 500", "base_cents = 600"))
    async with asyncio.timeout(60):
        while (after := await minato.quote(minato.people.rider()))["tariff_version"] == before["tariff_version"]:
            await asyncio.sleep(0.2)
    assert {"name": "base", "cents": 600} in after["lines"]
