"""Places of rides that ended long ago become cells, on both databases; places that somebody needs stay as they are."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from api.schemas.rides import PLACES_NOT_KEPT, RideBody
from backing.outbox.outbox import SqlOutbox
from backing.sql.database import Database
from backing.sql.scripts import Script, Statement, one
from dispatch import commands as cmd
from dispatch.adapters.event_codec import decode
from dispatch.adapters.sql import statements as sql
from dispatch.adapters.sql.places import SqlPlaces, _forget
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.errors import PlacesNotKept
from dispatch.model import Ride, RideState
from dispatch.rules.invariants import check_history
from dispatch.rules.kept_places import coarse, event_with_coarse_places, needs_no_places, with_coarse_places
from dispatch.service.replay import Replay
from dispatch.service.rides import RideService
from geo.cells import latlng_to_cells
from hexhail.cities.served import surge_resolutions
from hexhail.runtime.retention import DAY_S, Pruner, kinds_of, places_days
from hexhail.runtime.settings import MANHATTAN, Settings
from kernel.points import Place
from tests.dispatch.people import (
    PARAMS,
    Clock,
    MemoryLeases,
    accept,
    arrive,
    do,
    drop_off,
    engine_after,
    key,
    offer,
    on_shift,
    pick_up,
    rate,
    rider_cancels,
)

HOME, WORK = Place(40.7512345, -73.9876543, 11), Place(40.7698765, -73.9654321, 12)
#: Digits of each coordinate that no cell's centre has.
DIGITS = ("7512345", "9876543", "7698765", "9654321")
LONG_AGO_DAYS = 100.0
RESOLUTIONS = {"manhattan": 8}


def now_s() -> float:
    return Settings().clock().now_s()


def request(ride_id: str, rider_id: str) -> cmd.RequestRide:
    return cmd.RequestRide(ride_id, "manhattan", rider_id, f"quote-{ride_id}", HOME, WORK, 1, 1250, "USD")


class Town:
    """Rides over a database, at any time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = SqlRideStore(database)
        self.outbox = SqlOutbox(database)
        self.clock = Clock()
        self.clock.now_s = now_s() - LONG_AGO_DAYS * DAY_S
        self.rides = RideService(self.store, MemoryLeases(), PARAMS, self.clock)
        self.places = SqlPlaces(database, RESOLUTIONS)

    async def request(self, ride_id: str) -> None:
        await self.rides.handle(request(ride_id, f"rider-{ride_id}"), key(f"key-{ride_id}"))

    async def assign(self, ride_id: str, driver_id: str) -> None:
        token = await self.store.newest_token("manhattan") + 1
        await on_shift(self.rides, driver_id)
        await do(self.rides, offer(ride_id, driver_id, token), accept(f"{ride_id}-{token}", driver_id))

    async def ride(self, ride_id: str, driver_id: str = "dora") -> None:
        """A whole ride."""
        await self.request(ride_id)
        await self.assign(ride_id, driver_id)
        await do(self.rides, arrive(ride_id, driver_id), pick_up(ride_id, driver_id), drop_off(ride_id, driver_id))

    async def publish(self) -> None:
        await self.outbox.unpublished(1)  # gives positions in PostgreSQL
        await self.outbox.mark_published((await self.outbox.progress())[0])

    async def find(self, ride_id: str) -> Ride:
        found = await self.store.find_ride(ride_id)
        assert found is not None
        return found

    async def exact(self) -> set[str]:
        """The rides whose places are exact."""
        ids = [row[0] for row in await self.database.read("SELECT ride_id FROM rides")]
        return {ride_id for ride_id in ids if (await self.find(ride_id)).pickup == HOME}

    async def forget_all(self, days: float = 90.0) -> int:
        count = 0
        while deleted := await self.places.forget(now_s() - days * DAY_S, 100):
            count += deleted
        return count

    async def everything(self) -> str:
        """All that is in the database, as text."""
        names = {
            "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
            "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        }[self.database.dialect]
        tables = [row[0] for row in await self.database.read(names)]
        return "\n".join([repr([tuple(r) for r in await self.database.read(f"SELECT * FROM {t}")]) for t in tables])


@pytest.fixture
def town(database: Database) -> Town:
    return Town(database)


async def test_after_the_time_no_table_holds_the_places_of_a_ride_and_its_cells_stay(town: Town) -> None:
    await town.ride("ride")
    await do(town.rides, rate("ride", "rider-ride", 5))
    await town.publish()
    before = await town.everything()
    assert all(digits in before for digits in DIGITS)
    age = Statement("UPDATE idempotency SET added_s = ?1", (time.time() - 8.0 * DAY_S,))
    await town.database.run(lambda: one(age))
    pruner = Pruner(kinds_of(Settings(keep_messages_days=1_000.0), town.database))
    while await pruner.step():
        pass
    after = await town.everything()
    assert not any(digits in after for digits in DIGITS)
    ride = await town.find("ride")
    assert (ride.state, ride.fare_cents, ride.stars, ride.coarse_resolution) == (RideState.COMPLETED, 1250, 5, 8)
    for exact, kept in ((HOME, ride.pickup), (WORK, ride.dropoff)):
        cells = latlng_to_cells([exact.lat_deg, kept.lat_deg], [exact.lng_deg, kept.lng_deg], 8)
        assert cells[0] == cells[1]


async def test_the_events_that_are_kept_are_still_a_history_without_violations_and_can_be_decided_again(
    town: Town,
) -> None:
    await town.ride("ride")
    await town.publish()
    assert await town.forget_all() == 1
    events = [decode(payload) for payload in await town.store.history()]
    assert check_history(events).violations == []
    assert [event for event, _ in Replay(PARAMS).run(events)] == events


async def test_places_of_rides_that_are_under_way_or_ended_lately_stay(town: Town) -> None:
    await town.ride("ended")
    for ride_id in ("requested", "assigned", "arrived", "on-trip", "cancelled", "ended-late"):
        await town.request(ride_id)
    for number, ride_id in enumerate(("assigned", "arrived", "on-trip", "ended-late")):
        await town.assign(ride_id, f"driver{number}")
    await do(town.rides, arrive("arrived", "driver1"), arrive("on-trip", "driver2"), pick_up("on-trip", "driver2"))
    await do(town.rides, arrive("ended-late", "driver3"), pick_up("ended-late", "driver3"))
    await do(town.rides, rider_cancels("cancelled", "rider-cancelled"))
    town.clock.now_s = now_s() - 89.0 * DAY_S
    await do(town.rides, drop_off("ended-late", "driver3"))
    await town.publish()
    assert await town.forget_all() == 2
    assert await town.exact() == {"requested", "assigned", "arrived", "on-trip", "ended-late"}
    await do(town.rides, pick_up("arrived", "driver1"), drop_off("arrived", "driver1"))  # as if nothing was


async def test_places_of_a_ride_with_an_unpublished_event_stay_until_it_is_published(town: Town) -> None:
    await town.ride("ride")
    await town.publish()
    await town.ride("other", "dan")
    await do(town.rides, cmd.CorrectRide("ride", "toll", 1300))
    assert await town.forget_all() == 0
    assert await town.exact() == {"ride", "other"}
    await town.publish()
    assert await town.forget_all() == 2


async def test_rides_that_have_to_wait_do_not_keep_others_waiting(town: Town) -> None:
    for number in range(5):
        await town.ride(f"ride{number}")
        town.clock.now_s += 60.0
    await town.publish()
    for number in range(3):
        await do(town.rides, cmd.CorrectRide(f"ride{number}", "toll", 1300))  # to be published
    assert [await town.places.forget(now_s() - 90.0 * DAY_S, 2) for _ in range(3)] == [0, 1, 1]
    assert await town.exact() == {"ride0", "ride1", "ride2"}
    await town.publish()
    assert await town.forget_all() == 3


async def test_a_change_of_the_ride_at_the_same_time_has_the_last_word(town: Town) -> None:
    await town.ride("ride")
    await town.publish()
    read = await town.find("ride")
    await do(town.rides, cmd.CorrectRide("ride", "toll", 1300))
    await town.publish()
    assert await town.database.run(lambda: _forget([read], RESOLUTIONS)) == 0
    assert (await town.find("ride")).fare_cents == 1300
    assert await town.exact() == {"ride"}


async def test_the_fare_of_such_a_ride_can_be_corrected_and_its_dropoff_cannot(town: Town) -> None:
    await town.ride("ride")
    await town.publish()
    await town.forget_all()
    with pytest.raises(PlacesNotKept, match="ride ride are no longer kept"):
        await do(town.rides, cmd.CorrectRide("ride", "left elsewhere", 1300, HOME))
    await do(town.rides, cmd.CorrectRide("ride", "toll", 1300))
    ride = await town.find("ride")
    assert (ride.fare_cents, ride.coarse_resolution) == (1300, 8)
    assert "9876543" not in (await town.database.read("SELECT body FROM rides"))[0][0]


@pytest.mark.servers
async def test_postgresql_finds_them_by_the_index_of_ended_rides_with_places(postgres_database: Database) -> None:
    def plan() -> Script[str]:
        yield Statement("SET LOCAL enable_seqscan = off")  # a table without rows is read as a whole otherwise
        rows = yield Statement(f"EXPLAIN {sql.ENDED_RIDES_WITH_PLACES}", (0.0, float("-inf"), "", 100))
        return "\n".join(row[0] for row in rows)

    assert "Index Scan using ended_rides_with_places" in await postgres_database.run(plan)


def test_who_reads_such_a_ride_is_told_that_its_places_are_not_kept() -> None:
    ride = Ride("ride", "manhattan", "alice", "quote", HOME, WORK, 1, 1250, "USD", 0.0, RideState.COMPLETED)
    kept, forgotten = RideBody.of(ride), RideBody.of(with_coarse_places(ride, 8))
    assert kept.pickup is not None
    assert (kept.pickup.lat_deg, kept.notice) == (HOME.lat_deg, None)
    assert (forgotten.pickup, forgotten.dropoff, forgotten.notice) == (None, None, PLACES_NOT_KEPT)
    assert forgotten.fare_cents == 1250


def test_a_ride_needs_its_places_until_it_has_ended_and_says_what_is_owed() -> None:
    ride = Ride("ride", "manhattan", "alice", "quote", HOME, WORK, 1, 1250, "USD", 0.0)
    for state in RideState:
        ended = replace(ride, state=state, ended_s=10.0)
        is_final = state in (RideState.COMPLETED, RideState.CANCELLED, RideState.EXPIRED)
        assert needs_no_places(ended, 10.1) is is_final
        assert not needs_no_places(ended, 10.0)
        assert not needs_no_places(replace(ended, ended_s=None), 10.1)


def test_a_coarse_place_is_the_centre_of_the_cell_and_stays_itself() -> None:
    rng = np.random.default_rng(1)
    for lat_deg, lng_deg in zip(rng.uniform(-80, 80, 50), rng.uniform(-179, 179, 50), strict=True):
        place = coarse(Place(lat_deg, lng_deg, 3), 8)
        assert latlng_to_cells([lat_deg], [lng_deg], 8) == latlng_to_cells([place.lat_deg], [place.lng_deg], 8)
        assert coarse(place, 8) == place
        assert msgspec.json.encode(place).endswith(b'"node":-1}')  # by this the index of exact places leaves it out


def test_an_event_without_places_and_one_with_cells_stay_as_they_are() -> None:
    at = {"lat_deg": HOME.lat_deg, "lng_deg": HOME.lng_deg, "node": 1}
    assert event_with_coarse_places({"event": "DriverArrived", "ride_id": "r"}, 8) is None
    event = event_with_coarse_places({"event": "RideCorrected", "dropoff": at, "map_id": "m"}, 8)
    assert event is not None
    assert (event["map_id"], event["dropoff"]["node"], event["coarse_resolution"]) == ("", -1, 8)
    assert event_with_coarse_places(event, 8) is None


@pytest.mark.parametrize(
    ("settings", "days"),
    [
        ({"keep_places_days": 30.0}, 30.0),
        ({"keep_places_days": 30.0, "record_dir": Path("x"), "keep_rounds_days": 7.0}, 30.0),
        ({"keep_places_days": 30.0, "record_dir": Path("x"), "keep_rounds_days": 40.0}, 42.0),
        ({"keep_places_days": 30.0, "record_dir": Path("x"), "keep_rounds_days": 0.0}, 0.0),
        ({"keep_places_days": 0.0}, 0.0),
    ],
)
def test_places_stay_for_as_long_as_rounds_are_kept_that_can_be_decided_again(
    settings: dict[str, Any], days: float
) -> None:
    assert places_days(Settings(**settings)) == days


def test_cells_are_those_of_the_regions_prices_and_a_folder_that_is_not_there_stops_nobody(tmp_path: Path) -> None:
    assert surge_resolutions([MANHATTAN, tmp_path / "none"]) == {"manhattan": 8}


def test_what_was_agreed_keeps_no_exact_place_either() -> None:
    engine = engine_after(request("ride", "alice"), offer(), accept(), arrive(), pick_up(), drop_off())
    engine.handle(cmd.CorrectRide("ride", "she left there", 999, HOME), 5_000.0)
    ride = engine.ride("ride")
    assert ride.agreed is not None
    kept = with_coarse_places(ride, 9)
    assert kept.agreed is not None
    assert kept.agreed.dropoff == coarse(ride.agreed.dropoff, 9) != ride.agreed.dropoff
    assert kept.agreed.fare_cents == ride.agreed.fare_cents
