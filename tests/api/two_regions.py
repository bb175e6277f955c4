"""Two drawn cities half a world apart, served by one `hexhail serve`, each with its own edge."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from geo.city_build import CsvSource, build_city
from tests.api.installation import SPEED, Driver, People, Rider
from tests.patience import PATIENCE_S, eventually

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

[surge]
tick_s = 2.0
price_life_s = 10.0
demand_half_life_s = 300.0
requests_per_driver = 0.5
prior_drivers = 0.5
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

    async def quote(self, rider: Rider, **changes: Any) -> dict[str, Any]:
        answer = await rider.post("/v1/quotes", self.trip | changes)
        assert answer.status_code == 201, answer.text
        quote: dict[str, Any] = answer.json()
        return quote

    async def request(self, rider: Rider, quote: dict[str, Any]) -> str:
        """A ride at the quoted price; returns its id."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = await rider.post("/v1/rides", {"quote_id": quote["quote_id"]}, **key)
        assert answer.status_code == 201, answer.text
        rider.rides.append(answer.json()["ride_id"])
        return rider.rides[-1]

    async def drive(self, driver: Driver, left_at: dict[str, float] | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """A quote, and the ride of it as it stands at the end."""
        rider = self.people.rider()
        async with driver.on_shift(self.crossing(1, 0)) as told:
            quote = await self.quote(rider)
            ride_id = await self.request(rider, quote)
            offer = await told.event("OfferSent")
            assert (offer["ride_id"], offer["currency"]) == (ride_id, quote["currency"])
            await driver.accept(offer)
            await driver.step(ride_id, "arrived", "picked-up")
            body = {"dropoff": left_at} if left_at else None
            ride = (await driver.post(f"/v1/rides/{ride_id}/dropped-off", body)).json()
        return quote, ride


@dataclass
class ServedCities:
    """Both, by one `hexhail serve`."""

    folder: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"


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
        "HEXHAIL_INTERNAL_PORT": str(ports[2]),
        "HEXHAIL_DRAIN_S": "0",
        "HEXHAIL_DRAIN_SPREAD_S": "0",
        "HEXHAIL_DATA_DIR": str(folder / "workers"),
        "HEXHAIL_BROKER_SESSION_TIMEOUT_S": "3",
        "HEXHAIL_TOKEN_SECRETS": json.dumps({"demo": "a secret of the tests that is long enough"}),
        "HEXHAIL_CLOCK_SPEED": repr(SPEED),
        "HEXHAIL_CLOCK_CITY_S": repr(FRIDAY_S),
        "HEXHAIL_CLOCK_WALL_S": repr(time.time()),
    }


async def until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    async def is_ready() -> bool:
        assert process.poll() is None, f"hexhail serve ended with {process.returncode}"
        with suppress(httpx.HTTPError):
            return (await http.get("/readyz")).status_code == 200
        return False

    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
        await eventually(is_ready, every_s=0.1)


def url_of(env: dict[str, str], number: int) -> str:
    return f"http://127.0.0.1:{int(env['HEXHAIL_API_PORT']) + number}"
