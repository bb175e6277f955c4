"""Two regions over the same stores, half a world apart: money, clocks, prices and cells stay what they are."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import redis

from geo.city_build import CsvSource, build_city
from hexhail import embedded
from tests.api.installation import PATIENCE_S, SPEED, Driver, Installation, People, Rider, Stream

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

SIDE, STREET_M = 6, 200.0
#: A Friday: 23:00 in Tokyo, where the night costs more, and 9:00 in New York.
FRIDAY_S = datetime(2026, 3, 6, 14, 0, tzinfo=UTC).timestamp()
CITIES = {
    "minato": ("Asia/Tokyo", "JPY", 35.66, 139.73, 500, 10),
    "harlem": ("America/New_York", "USD", 40.81, -73.95, 250, 1),
}
CITY_TOML = """[region]
region_id = "{name}"
name = "{name}"
timezone = "{timezone}"
currency = "{currency}"
search_resolution = 8
surge_resolution = 8
off_road_m_max = 200.0
attribution = ""

[tariff]
currency = "{currency}"
base_cents = {base_cents}
per_km_cents = 100
per_minute_cents = 30
minimum_cents = 0
rounding_cents = {rounding_cents}

[[tariff.surcharges]]
name = "night"
percent = 20
from = 22:00:00
until = 05:00:00

[tariff.at_dropoff]
time_tolerance_s = 100000.0
place_tolerance_m = 150.0
"""


@dataclass
class Town:
    """One of the two, with its own API."""

    people: People
    folder: Path
    lat_deg: float
    lng_deg: float

    def crossing(self, row: int, column: int) -> dict[str, float]:
        return {"lat_deg": self.lat_deg + row * 0.0018, "lng_deg": self.lng_deg + column * 0.0023}

    @property
    def trip(self) -> dict[str, Any]:
        return {"pickup": self.crossing(0, 0), "dropoff": self.crossing(3, 3)}

    async def quote(self, rider: Rider) -> dict[str, Any]:
        answer = await rider.post("/v1/quotes", self.trip)
        assert answer.status_code == 201, answer.text
        quote: dict[str, Any] = answer.json()
        return quote

    async def drive(self, driver: Driver, left_at: dict[str, float] | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """A quote, and the ride of it as it stands at the end."""
        rider = self.people.rider()
        async with driver.on_shift(self.crossing(1, 0)) as told:
            quote = await self.quote(rider)
            key = {"Idempotency-Key": quote["quote_id"][-20:]}
            ride_id = (await rider.post("/v1/rides", {"quote_id": quote["quote_id"]}, **key)).json()["ride_id"]
            offer = await first_offer(told)
            assert (offer["ride_id"], offer["currency"]) == (ride_id, quote["currency"])
            await driver.accept(offer)
            await driver.step(ride_id, "arrived", "picked-up")
            body = {"dropoff": left_at} if left_at else None
            ride = (await driver.post(f"/v1/rides/{ride_id}/dropped-off", body)).json()
        return quote, ride


async def first_offer(told: Stream) -> dict[str, Any]:
    """Workers that have just been started join their groups first, which takes the broker seconds."""
    for _ in range(3):
        with suppress(TimeoutError):
            return await told.event("OfferSent")
    return await told.event("OfferSent")


@dataclass
class ServedCities:
    """Both, by one `hexhail serve`."""

    folder: Path
    env: dict[str, str]
    process: subprocess.Popen[str]


def write_city(folder: Path, name: str) -> None:
    timezone, currency, lat_deg, lng_deg, base_cents, rounding_cents = CITIES[name]
    nodes, edges = ["node,lat,lng"], ["source,target,length_m,travel_time_s"]
    for node in range(SIDE * SIDE):
        row, column = divmod(node, SIDE)
        nodes.append(f"{node},{lat_deg + row * 0.0018},{lng_deg + column * 0.0023}")
        for other in ([node + 1] if column < SIDE - 1 else []) + ([node + SIDE] if row < SIDE - 1 else []):
            edges += [f"{one},{two},{STREET_M},20" for one, two in ((node, other), (other, node))]
    folder.mkdir()
    (folder / "nodes.csv").write_text("\n".join(nodes))
    (folder / "edges.csv").write_text("\n".join(edges))
    build_city(CsvSource(folder / "nodes.csv", folder / "edges.csv"), folder, lambda stage, done: None)
    facts = {"name": name, "timezone": timezone, "currency": currency, "base_cents": base_cents}
    (folder / "city.toml").write_text(CITY_TOML.format(**facts, rounding_cents=rounding_cents))


def environment(folder: Path, ports: list[int]) -> dict[str, str]:
    folders = [folder / name for name in CITIES]
    return {
        "HEXHAIL_CITY_DIR": str(folders[0]),
        "HEXHAIL_CITY_DIRS": os.pathsep.join(map(str, folders)),
        "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{ports[0]}/0",
        "HEXHAIL_BROKER_URL": f"127.0.0.1:{ports[1]}",
        "HEXHAIL_DATABASE_URL": f"sqlite:///{folder / 'hexhail.db'}",
        "HEXHAIL_API_PORT": str(ports[2]),
        "HEXHAIL_DATA_DIR": str(folder / "workers"),
        "HEXHAIL_BROKER_SESSION_TIMEOUT_S": "3",
        "HEXHAIL_TOKEN_SECRETS": json.dumps({"demo": "a secret of the tests that is long enough"}),
        "HEXHAIL_CLOCK_SPEED": repr(SPEED),
        "HEXHAIL_CLOCK_CITY_S": repr(FRIDAY_S),
        "HEXHAIL_CLOCK_WALL_S": repr(time.time()),
    }


async def until_ready(url: str, process: subprocess.Popen[str]) -> None:
    async with asyncio.timeout(240), httpx.AsyncClient(base_url=url, timeout=5.0, trust_env=False) as http:
        while True:
            assert process.poll() is None, process.communicate()
            with suppress(httpx.HTTPError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    valkey_port: int, broker_port: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ServedCities]:
    folder = tmp_path_factory.mktemp("regions")
    with redis.Redis(port=valkey_port) as server:
        server.flushall()
    for name in CITIES:
        write_city(folder / name, name)
    api_port = next(port for port in iter(embedded.free_port, None) if embedded.is_free(port + 1))
    env = environment(folder, [valkey_port, broker_port, api_port])
    command = [sys.executable, "-m", "hexhail", "serve"]
    process = subprocess.Popen(
        command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for number in range(len(CITIES)):
            await until_ready(url_of(env, number), process)
        yield ServedCities(folder, env, process)
    finally:
        process.kill()
        process.communicate()


def url_of(env: dict[str, str], number: int) -> str:
    return f"http://127.0.0.1:{int(env['HEXHAIL_API_PORT']) + number}"


@pytest.fixture
async def towns(served: ServedCities) -> AsyncIterator[dict[str, Town]]:
    folder, env = served.folder, served.env
    async with AsyncExitStack() as stack:
        towns = {}
        for number, (name, city) in enumerate(CITIES.items()):
            http = httpx.AsyncClient(base_url=url_of(env, number), timeout=PATIENCE_S, trust_env=False)
            await stack.enter_async_context(http)
            people = People(Installation(url_of(env, number), env), http)
            towns[name] = Town(people, folder / name, *city[2:4])
        yield towns


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


async def test_all_processes_are_looked_after_and_end_together(served: ServedCities) -> None:
    pids = json.loads((served.folder / "workers" / "logs" / "processes.json").read_text())
    assert set(pids) == {"api-minato", "api-harlem", "ingester", "matcher", "pricer", "relay"}
    served.process.send_signal(signal.SIGTERM)
    said, _ = await asyncio.to_thread(served.process.communicate, timeout=40)
    assert served.process.returncode == 0, said
    assert "serving api, ingester, matcher, pricer, relay" in said
    assert not [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]
