"""A whole city in which a tenth of all phones die one after the other, and then all the others at once."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from api.auth.token_keys import TokenKeys
from api.auth.tokens import Role, Tokens
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.model import TERMINAL
from dispatch.rules.invariants import History, check_history
from hexhail.demo.demo import DemoParams, running_city
from hexhail.demo.population import PopulationSettings, run_population
from hexhail.runtime.database import open_database
from hexhail.runtime.kernel_cache import cache_dir
from hexhail.runtime.settings import MANHATTAN
from kernel.clock import CityClock
from kernel.keyring import KeyRing
from tests.patience import until

pytestmark = [pytest.mark.city, pytest.mark.servers]

SPEED, DRIVERS = 6.0, 120
#: Wall seconds: the phones live for so long, or until some ride with a rider; then the deadlines have so long.
LIFE_S, REST_S_MAX = 30.0, 240.0
#: Rides on their trip when all phones die at once: these their deadlines have to end.
ON_TRIP_MIN = 3
#: City seconds: seldom, so that a slow machine keeps up.
PING_EVERY_S = 12.0
UNDER_WAY = f"state NOT IN ({', '.join(repr(str(state)) for state in TERMINAL)})"
DEADLINES = """
[dispatch]
max_wait_s = 240.0
offer_ttl_s = 40.0
overdue_factor = 1.2
overdue_slack_s = 60.0
pickup_overdue_s = 240.0

[tariff.no_show]
fee_cents = 500
"""


async def live(folder: Path) -> tuple[History, Counter[str]]:
    """The city with short deadlines; what is on record of it once all rides have ended, or time is over."""
    city_dir = folder / "city"
    shutil.copytree(MANHATTAN, city_dir)
    with (city_dir / "city.toml").open("a") as file:
        file.write(DEADLINES)
    params = DemoParams(city_dir=city_dir, run_dir=folder / "run", cache_dir=cache_dir(), speed=SPEED, port=0)
    async with running_city(params, print) as demo:
        issue = cache(Tokens(TokenKeys.of_secrets(KeyRing(json.loads(demo.env["HEXHAIL_TOKEN_SECRETS"])))).issue)
        stop = asyncio.Event()
        settings = PopulationSettings(
            api_url=demo.url,
            token_of=lambda role, subject: issue(Role(role), subject),
            city_folder=city_dir,
            clock=CityClock(*(float(demo.env[f"HEXHAIL_CLOCK_{name}"]) for name in ("SPEED", "CITY_S", "WALL_S"))),
            n_drivers=DRIVERS,
            ping_interval_s=PING_EVERY_S,
            dead_phone_share=0.1,
            dead_within_s=LIFE_S * SPEED,
        )
        people = asyncio.create_task(run_population(settings, stop))
        database = demo.env["HEXHAIL_DATABASE_URL"]
        await asyncio.sleep(LIFE_S)
        await until(lambda: _count(database, "state = 'ON_TRIP'") >= ON_TRIP_MIN)
        stop.set()
        await people
        deadline_s = time.monotonic() + REST_S_MAX
        while _count(database, UNDER_WAY) and time.monotonic() < deadline_s:
            await asyncio.sleep(1.0)
    async with await open_database(database) as opened:
        events = [decode(payload) for payload in await SqlRideStore(opened).history()]
    return check_history(events), Counter(type(event).__name__ for event in events)


def _count(database: str, condition: str) -> int:
    """How many rides are in a state."""
    with closing(sqlite3.connect(f"file:{database.removeprefix('sqlite:///')}?mode=ro", uri=True)) as connection:
        count: int = connection.execute(f"SELECT COUNT(*) FROM rides WHERE {condition}").fetchone()[0]
    return count


async def test_every_ride_ends_settled_and_no_invariant_is_broken(tmp_path: Path) -> None:
    history, happened = await live(tmp_path)
    assert len(history.rides) > 20, happened
    assert history.violations == []
    assert history.open_rides() == []
    assert all(ride.owed_cents is not None for ride in history.rides.values())
    assert happened["TripClosed"] + happened["RiderDidNotShow"] > 0, happened
    closed = [ride for ride in history.rides.values() if ride.end_reason == "trip_overdue"]
    assert all((ride.owed_cents or 0) >= 700 and ride.receipt for ride in closed)
