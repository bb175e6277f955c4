"""Two running regions whose maps are built again under rides of all kinds, without a restart."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from dispatch.adapters.redis_rounds import read_rounds
from geo.city_build import CsvSource, build_city
from geo.places import map_id_of
from geo.roads.graph import GRAPH_FILE, RoadGraph
from hexhail.runtime.map_reports import MapReports
from kernel.contracts import redis_keys
from tests.api.installation import SPEED, Driver, Rider, Stream
from tests.api.two_regions import CITIES, SIDE, STREET_M, ServedCities, Town
from tests.patience import eventually
from tests.regions.learned import LEARNED, learn

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

#: What may lie between two rounds of a region, in wall seconds, whatever happens to its map.
ROUND_WITHIN_S = 10.0
#: Crossings (row, column) that the new map has lost: from the last of them it is 280 m to the nearest road.
LOST = ((4, 5), (5, 4), (5, 5))
ROLES = {"api", "matcher", "pricer", "traffic"}


def rebuild(folder: Path, name: str) -> None:
    """Build the city anew from the same streets: numbered from the other end, and without a corner."""
    lat_deg, lng_deg = CITIES[name][2:4]
    kept = [(row, column) for row in range(SIDE) for column in range(SIDE) if (row, column) not in LOST][::-1]
    number = {crossing: at for at, crossing in enumerate(kept)}
    nodes, edges = ["node,lat,lng"], ["source,target,length_m,travel_time_s"]
    for (row, column), node in number.items():
        nodes.append(f"{node},{lat_deg + row * 0.0018},{lng_deg + column * 0.0023}")
        for other in ((row, column + 1), (row + 1, column)):
            if other in number:
                edges += [f"{one},{two},{STREET_M},20" for one, two in ((node, number[other]), (number[other], node))]
    source = folder.parent / f"{name}-streets"
    source.mkdir(exist_ok=True)
    (source / "nodes.csv").write_text("\n".join(nodes))
    (source / "edges.csv").write_text("\n".join(edges))
    build_city(CsvSource(source / "nodes.csv", source / "edges.csv"), folder, lambda stage, done: None)


@dataclass
class Served:
    """The two regions, as a test sees them."""

    folder: Path
    env: dict[str, str]
    towns: dict[str, Town]
    redis: Any
    rounds_s: dict[str, set[float]] = field(default_factory=lambda: {name: set() for name in CITIES})

    def map_on_disk(self, name: str) -> str:
        return map_id_of(RoadGraph.load(self.folder / name))

    async def maps(self, name: str) -> dict[str, str]:
        """The map that each role of a region reports."""
        reports = await MapReports(self.redis, name).read()
        return {who.split("@")[0]: map_id for who, map_id in reports.items()}

    async def until_all_have(self, name: str, map_id: str) -> None:
        async def all_have() -> bool:
            return await self.maps(name) == dict.fromkeys(ROLES, map_id)

        await eventually(all_have, every_s=0.1)

    async def ready(self, name: str) -> dict[str, Any]:
        answer = await self.towns[name].people.http.get("/v1/ops/health")
        assert answer.status_code == 200, answer.text
        health: dict[str, Any] = answer.json()
        return health

    async def note_rounds(self) -> None:
        """Keep the city times of all rounds, until cancelled."""
        while True:
            for name, seen in self.rounds_s.items():
                seen |= {report.at_s for report in await read_rounds(self.redis, name)}
            await asyncio.sleep(0.5)

    def longest_pause_s(self, name: str) -> float:
        """The longest pause between two rounds that were seen, in wall seconds."""
        at_s = sorted(self.rounds_s[name])
        return max(later - earlier for earlier, later in pairwise(at_s)) / SPEED

    async def doctor(self) -> str:
        command = [sys.executable, "-m", "hexhail", "doctor"]
        env = os.environ | self.env | {"COLUMNS": "400"}
        done = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True)
        return str(done.stdout)


@pytest.fixture
async def served(served_cities: ServedCities, towns: dict[str, Town]) -> AsyncIterator[Served]:
    port = int(served_cities.env["HEXHAIL_REDIS_URL"].rpartition(":")[2].split("/")[0])
    async with redis.asyncio.Redis(port=port) as client:
        yield Served(served_cities.folder, served_cities.env, towns, client)


class Life:
    """What goes on in one region while its map changes."""

    def __init__(self, town: Town, stack: AsyncExitStack) -> None:
        self.town = town
        self.stack = stack
        self.driver_of: dict[str, Driver] = {}
        self.rides: dict[str, tuple[Rider, str]] = {}
        self.prices: dict[str, int] = {}

    async def requested(self, name: str, pickup: tuple[int, int], dropoff: tuple[int, int] = (2, 2)) -> None:
        rider, quote = await self.quoted(name, pickup, dropoff)
        await self.take(name, rider, quote)

    async def quoted(
        self, name: str, pickup: tuple[int, int], dropoff: tuple[int, int] = (2, 2)
    ) -> tuple[Rider, dict[str, Any]]:
        rider = self.town.people.rider()
        ends = {"pickup": self.town.crossing(*pickup), "dropoff": self.town.crossing(*dropoff)}
        quote = await self.town.quote(rider, **ends)
        self.prices[name] = quote["price_cents"]
        return rider, quote

    async def take(self, name: str, rider: Rider, quote: dict[str, Any]) -> None:
        self.rides[name] = rider, await self.town.request(rider, quote)

    async def driver(self, at: tuple[int, int]) -> tuple[Driver, Stream]:
        driver = self.town.people.driver()
        return driver, await self.stack.enter_async_context(driver.on_shift(self.town.crossing(*at)))

    async def assigned(self, name: str, at: tuple[int, int]) -> dict[str, Any]:
        """Have a new driver at a crossing take a ride; returns the offer."""
        driver, told = await self.driver(at)
        offer = await told.event("OfferSent", ride_id=self.rides[name][1])
        assert (await driver.accept(offer)).status_code == 200
        self.driver_of[name] = driver
        return offer

    async def ends(self, name: str, *steps: str) -> None:
        """Drive a ride to its end; it costs what was quoted."""
        ride = await self.driver_of[name].step(self.rides[name][1], *steps, "dropped-off")
        assert (ride["state"], ride["fare_cents"]) == ("COMPLETED", self.prices[name]), name


async def before_the_rebuild(life: Life) -> tuple[Rider, dict[str, Any]]:
    """A ride on its trip, one assigned, one quoted, one that waits, and one that waits in the corner."""
    await life.requested("on trip", (0, 0))
    await life.assigned("on trip", (0, 1))
    await life.driver_of["on trip"].step(life.rides["on trip"][1], "arrived", "picked-up")
    await life.requested("assigned", (3, 0))
    await life.assigned("assigned", (3, 4))
    quoted = await life.quoted("quoted", (1, 4))
    await life.requested("waiting", (0, 4))
    await life.requested("lost", (5, 5))
    return quoted


async def after_the_rebuild(life: Life, quoted: tuple[Rider, dict[str, Any]]) -> None:
    """All of them end; the pickup times are those of where the rides are."""
    await life.ends("assigned", "arrived", "picked-up")
    offer = await life.assigned("waiting", (0, 2))
    assert offer["pickup_eta_s"] == pytest.approx(40.0)  # two streets
    await life.take("quoted", *quoted)
    offer = await life.assigned("quoted", (2, 4))
    assert offer["pickup_eta_s"] == pytest.approx(20.0)
    for name in ("waiting", "quoted"):
        await life.ends(name, "arrived", "picked-up")
    await life.ends("on trip")
    rider, ride_id = life.rides["lost"]
    async with rider.stream() as told:
        event = await told.event("RideSetAside", ride_id=ride_id)
    assert event["reason"] == "off_map"
    assert (await rider.ride(ride_id))["state"] == "REQUESTED"
    assert (await rider.post(f"/v1/rides/{ride_id}/cancel")).status_code == 200


async def learned_files_come_back(served: Served) -> None:
    """Those of the old map are set aside, and used again once they were learned on the new one."""
    note = (await served.ready(LEARNED))["notes"]["map"]
    for role in ("api@", "matcher@", "traffic@"):
        assert role in note
    assert note.count("usual.npz is set aside") == 3
    assert note.count("values.npz is set aside") == 1
    assert "values.npz is set aside" in await served.doctor()
    learn(served.folder / LEARNED)

    async def is_well() -> bool:
        return (await served.ready(LEARNED))["notes"] == {"map": "ok"}

    await eventually(is_well, every_s=0.2)


async def test_a_map_that_is_built_again_under_all_kinds_of_rides_stops_no_region(served: Served) -> None:
    async with AsyncExitStack() as stack:
        lives = {name: Life(town, stack) for name, town in served.towns.items()}
        quoted = await asyncio.gather(*(before_the_rebuild(life) for life in lives.values()))
        before = {name: served.map_on_disk(name) for name in lives}
        pids = (served.folder / "workers" / "logs" / "processes.json").read_text()
        watching = asyncio.create_task(served.note_rounds())
        for name in lives:
            rebuild(served.folder / name, name)
            assert served.map_on_disk(name) != before[name]
        for name in lives:
            await served.until_all_have(name, served.map_on_disk(name))
        await asyncio.gather(*(after_the_rebuild(*each) for each in zip(lives.values(), quoted, strict=True)))
        await asyncio.sleep(1.0)
        watching.cancel()
        for name in lives:
            assert served.longest_pause_s(name) <= ROUND_WITHIN_S

        async def all_is_well() -> bool:  # every role says anew which map it has, each some seconds after the other
            notes = (await served.ready("minato"))["notes"]
            return bool(notes == {"map": "ok"})

        await eventually(all_is_well, every_s=0.2)
        await learned_files_come_back(served)
        assert (served.folder / "workers" / "logs" / "processes.json").read_text() == pids  # nobody was started again
    assert "4 processes have the map on disk" in await served.doctor()


async def test_a_role_with_another_map_and_a_map_that_cannot_be_read_are_told_and_stop_nothing(served: Served) -> None:
    name = "harlem"
    await served.until_all_have(name, served.map_on_disk(name))
    report = f"0123456789abcdef|{round(time.time() * 1e3) + 20_000}"
    await served.redis.hset(redis_keys.maps(name), "matcher@elsewhere:1", report)
    own = served.map_on_disk(name)
    ready = await served.ready(name)
    assert ready["notes"] == {"map": f"matcher@elsewhere:1 has 0123456789abcdef, not {own}"}
    assert f"matcher@elsewhere:1 has 0123456789abcdef, not {own}" in await served.doctor()
    await served.redis.hdel(redis_keys.maps(name), "matcher@elsewhere:1")
    whole = (served.folder / name / GRAPH_FILE).read_bytes()
    (served.folder / name / GRAPH_FILE).write_bytes(whole[: len(whole) // 2])

    async def is_refused() -> bool:
        return "the map on disk is refused" in (await served.ready(name))["notes"]["map"]

    await eventually(is_refused, every_s=0.2)
    async with AsyncExitStack() as stack:
        life = Life(served.towns[name], stack)
        await life.requested("ride", (0, 0))
        await life.assigned("ride", (0, 1))
        await life.ends("ride", "arrived", "picked-up")
    (served.folder / name / GRAPH_FILE).write_bytes(whole)

    async def is_well() -> bool:
        return (await served.ready(name))["notes"] == {"map": "ok"}

    await eventually(is_well, every_s=0.2)
    assert json.loads((served.folder / "workers" / "logs" / "processes.json").read_text())
