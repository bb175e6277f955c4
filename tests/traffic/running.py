"""A drawn town that is served by real processes: the API and the role traffic, and nobody else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from api.auth.token_keys import TokenKeys
from api.auth.tokens import Role, Tokens
from hexhail.runtime import embedded
from kernel.keyring import KeyRing
from tests.traffic.town import SIDE, Fleet, grid

#: City seconds in a wall second: an update each two of them. Pings may be ten of them late, on a busy machine.
SPEED = 30.0
CITY_TOML = """[region]
region_id = "town"
name = "Town"
timezone = "Europe/Zurich"
currency = "CHF"
search_resolution = 8
surge_resolution = 8
off_road_m_max = 200.0
attribution = ""

[tariff]
currency = "CHF"
base_cents = 600
per_km_cents = 0
per_minute_cents = 200
minimum_cents = 0
rounding_cents = 1

[learned_traffic]
update_every_s = 60.0
window_s = 300.0
keep_s = 300.0
"""
SECRETS = {"test": "a secret of the tests that is long enough"}
MONDAY_S = datetime(2026, 3, 2, 9, 0, tzinfo=UTC).timestamp()


@dataclass
class RunningTown:
    """Where it is served, and what drives in it."""

    folder: Path
    env: dict[str, str]
    http: httpx.AsyncClient
    graph: Any = field(default_factory=grid)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    driven_to_s: float = 0.0

    def now_s(self) -> float:
        speed, city_s, wall_s = (float(self.env[f"HEXHAIL_CLOCK_{name}"]) for name in ("SPEED", "CITY_S", "WALL_S"))
        return city_s + (time.time() - wall_s) * speed

    def start(self, role: str) -> None:
        command = [sys.executable, "-m", "hexhail", "serve", role]
        with (self.folder / f"{role}.log").open("ab") as log:
            self.processes[role] = subprocess.Popen(command, env=os.environ | self.env, stdout=log, stderr=log)

    def kill(self, role: str) -> None:
        process = self.processes.pop(role)
        process.kill()
        process.wait(10)

    def headers(self, role: Role, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {Tokens(TokenKeys.of_secrets(KeyRing(SECRETS))).issue(role, name)}"}

    async def until_ready(self) -> None:
        async with asyncio.timeout(120):
            while True:
                code = self.processes["api"].poll()
                assert code is None, f"the API ended with {code}: {(self.folder / 'api.log').read_text()}"
                with suppress(httpx.HTTPError):
                    if (await self.http.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)

    async def quote(self, row: int) -> dict[str, Any]:
        """A quote for a ride along a whole row of the grid."""
        ends = row * SIDE, row * SIDE + SIDE - 1
        points = [{"lat_deg": float(self.graph.lat_deg[n]), "lng_deg": float(self.graph.lng_deg[n])} for n in ends]
        body = {"pickup": points[0], "dropoff": points[1], "seats": 1}
        answer = await self.http.post("/v1/quotes", json=body, headers=self.headers(Role.RIDER, "alice"))
        assert answer.status_code == 201, answer.text
        quote: dict[str, Any] = answer.json()
        return quote

    async def ride_of(self, quote: dict[str, Any]) -> dict[str, Any]:
        headers = {**self.headers(Role.RIDER, "alice"), "Idempotency-Key": uuid.uuid4().hex}
        answer = await self.http.post("/v1/rides", json={"quote_id": quote["quote_id"]}, headers=headers)
        assert answer.status_code == 201, answer.text
        ride: dict[str, Any] = answer.json()
        return ride

    async def traffic(self) -> dict[str, Any]:
        answer = await self.http.get("/v1/ops/traffic", headers=self.headers(Role.OPERATOR, "operator"))
        assert answer.status_code == 200, answer.text
        traffic: dict[str, Any] = answer.json()
        return traffic

    async def drive(self, fleets: Sequence[tuple[Fleet, np.ndarray]]) -> None:
        """Have the fleets drive until now, and send their pings as phones do."""
        from_s, self.driven_to_s = max(self.driven_to_s, self.now_s() - 60.0), self.now_s()
        for fleet, factor in fleets:
            ids, places = fleet.drive(factor, from_s, self.driven_to_s)
            pings_of: dict[str, list[dict[str, float]]] = {}
            for driver_id, (t_s, lat_deg, lng_deg) in zip(ids, places.tolist(), strict=True):
                pings_of.setdefault(driver_id, []).append({"t_s": t_s, "lat_deg": lat_deg, "lng_deg": lng_deg})
            await asyncio.gather(*(self._send(driver_id, pings) for driver_id, pings in pings_of.items()))

    async def _send(self, driver_id: str, pings: list[dict[str, float]]) -> None:
        headers = self.headers(Role.DRIVER, driver_id)
        answer = await self.http.post("/v1/drivers/me/pings", json={"pings": pings}, headers=headers)
        assert answer.status_code == 202, answer.text


@asynccontextmanager
async def running_town(folder: Path, valkey_port: int, broker_port: int) -> AsyncIterator[RunningTown]:
    """The town, its API ready; all processes are gone at the end."""
    port = embedded.free_port()
    grid().save(folder)
    (folder / "city.toml").write_text(CITY_TOML)
    env = {
        "HEXHAIL_CITY_DIR": str(folder),
        "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0",
        "HEXHAIL_BROKER_URL": f"127.0.0.1:{broker_port}",
        "HEXHAIL_DATABASE_URL": f"sqlite:///{folder / 'hexhail.db'}",
        "HEXHAIL_API_PORT": str(port),
        "HEXHAIL_INTERNAL_PORT": str(port),
        "HEXHAIL_DATA_DIR": str(folder / "workers"),
        "HEXHAIL_BROKER_SESSION_TIMEOUT_S": "3",
        "HEXHAIL_TOKEN_SECRETS": json.dumps(SECRETS),
        "HEXHAIL_CLOCK_SPEED": repr(SPEED),
        "HEXHAIL_CLOCK_CITY_S": repr(MONDAY_S),
        "HEXHAIL_CLOCK_WALL_S": repr(time.time()),
    }
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=15.0, trust_env=False) as http:
        town = RunningTown(folder, env, http)
        try:
            town.start("api")
            town.start("traffic")
            await town.until_ready()
            yield town
        finally:
            for role in list(town.processes):
                town.kill(role)
