"""What rides leave in SQL and in recorded rounds, bytes per ride and driver-hour, before and after the deletion."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backing.outbox.outbox import SqlOutbox
from backing.sql.database import Database
from benchmarks.common.measure import Report
from dispatch import commands as cmd
from dispatch.adapters.round_files import FileRoundRecords
from dispatch.adapters.round_folder import RoundFolder
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.model import DispatchParams, ShiftStatus, SupplySnapshot
from dispatch.ports import RoundRecord
from dispatch.service.rides import RideService
from hexhail.runtime.database import open_database
from hexhail.runtime.retention import DAY_S, Pruner, kinds_of
from hexhail.runtime.settings import Settings
from kernel.idempotency import IdempotencyKey
from kernel.points import Place

RIDES, RIDES_SMALL = 2_000, 50
#: Recorded rounds in files of so many days, and the drivers whom each round sees.
ROUNDS, ROUNDS_SMALL, DAYS, ROUND_DRIVERS = 1_800, 60, 60, 300
#: Rides at once, each with a driver of its own.
DRIVERS = 20
#: A minute of steps each; with a wait for the next rider this is some 20 minutes of a driver's hour.
RIDES_PER_DRIVER_HOUR = 2.0


class _NoLeases:
    """`Leases` that nobody takes: they are not part of this."""

    async def take(self, pairs: Sequence[tuple[str, str]], now_s: float, ttl_s: float) -> list[int | None]:
        """None of them."""
        return [None for _ in pairs]

    async def release(self, driver_id: str, ride_id: str, token: int) -> None:
        """Nothing."""

    async def restore(self, newest_token: int) -> None:
        """Nothing."""


def run(small: bool, report: Report) -> None:
    """Measure, and print what a ride leaves."""
    asyncio.run(_run(RIDES_SMALL if small else RIDES, report))


async def _run(rides: int, report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with await open_database(f"sqlite:///{Path(folder) / 'rides.db'}") as database:
            empty = await _used_bytes(database)
            await _drive(database, rides)
            before, exact_before = await _used_bytes(database) - empty, await _exact_places(database)
            began = time.process_time()
            steps = await _prune(database)
            cpu_s = time.process_time() - began
            after, exact_after = await _used_bytes(database) - empty, await _exact_places(database)
    for name, used in (("before", before), ("after", after)):
        report.figure(f"bytes per ride, {name}", used / rides, "B")
        report.figure(f"bytes per driver-hour, {name}", used / rides * RIDES_PER_DRIVER_HOUR, "B")
    report.figure("steps", steps, "steps of up to 500 rows of a kind, or the places of 100 rides")
    report.figure("CPU of the deletion", cpu_s / rides * 1e6, "us per ride")
    report.figure("rows with exact places per ride, before", exact_before / rides, "")
    report.figure("rows with exact places per ride, after", exact_after / rides, "")
    await _record_rounds(ROUNDS_SMALL if rides == RIDES_SMALL else ROUNDS, report)


async def _record_rounds(rounds: int, report: Report) -> None:
    """Record the rounds of some minutes in files of the past two months, and delete what is older than the settings."""
    rng, settings = np.random.default_rng(1), Settings()
    names = tuple(f"{uuid.UUID(bytes=rng.bytes(16))}" for _ in range(ROUND_DRIVERS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for day in range(DAYS):
            records = FileRoundRecords(folder, "town")
            for number in range(rounds // DAYS):
                now_s = number * DispatchParams().batch_window_s
                nodes, seats = rng.integers(0, 4_000, ROUND_DRIVERS), np.full(ROUND_DRIVERS, 4)
                supply = SupplySnapshot(now_s, names, nodes, seats, rng.uniform(0.0, now_s + 1.0, ROUND_DRIVERS))
                waiting = tuple((str(uuid.UUID(bytes=rng.bytes(16))), 1) for _ in range(5))
                await records.write(RoundRecord("town", DispatchParams(), waiting, supply, ()))
            records.close()
            _age(max(folder.glob("*.rounds"), key=lambda path: path.stat().st_mtime_ns), float(DAYS - day))
        kept = RoundFolder(folder, settings.keep_rounds_days * DAY_S, settings.keep_rounds_bytes)
        before = kept.kept()
        while await kept.forget():
            pass
        after = kept.kept()
    recorded_h = rounds * DispatchParams().batch_window_s / 3600.0
    report.figure("recorded rounds per driver-hour", before.size_bytes / (recorded_h * ROUND_DRIVERS), "B")
    report.figure(f"recorded rounds of {DAYS} days that are kept", after.size_bytes / before.size_bytes * 100, "%")


def _age(path: Path, days: float) -> None:
    at_ns = time.time_ns() - int(days * DAY_S * 1e9)
    os.utime(path.rename(path.with_name(f"town-{at_ns}.rounds")), ns=(at_ns, at_ns))


async def _drive(database: Database, rides: int) -> None:
    """So many rides from the request to the dropoff, each command with a key, as applications send it."""
    now_s = time.time() - 100.0 * DAY_S
    service = RideService(SqlRideStore(database), _NoLeases(), DispatchParams(), lambda: now_s)
    for driver in range(DRIVERS):
        await service.set_shift(cmd.SetShift(f"driver{driver}", ShiftStatus.ONLINE, 4))
    rng = np.random.default_rng(1)
    lat_deg, lng_deg = rng.uniform(40.71, 40.79, (2, rides)), rng.uniform(-74.0, -73.95, (2, rides))

    def place(end: int, number: int) -> Place:
        return Place(float(lat_deg[end, number]), float(lng_deg[end, number]), number)

    async def drive(number: int, token: int) -> None:
        ride_id, driver_id = f"ride{number}", f"driver{number % DRIVERS}"
        ends = place(0, number), place(1, number)
        request = cmd.RequestRide(ride_id, "town", f"rider{number}", f"quote{number}", *ends, 1, 1200, "USD")
        steps = (
            request,
            cmd.SendOffer(ride_id, driver_id, token, 60.0),
            cmd.AcceptOffer(f"{ride_id}-{token}", driver_id),
            cmd.ReportArrival(ride_id, driver_id),
            cmd.ReportPickup(ride_id, driver_id),
            cmd.ReportDropoff(ride_id, driver_id),
        )
        for place_of, step in enumerate(steps):
            await service.handle(step, IdempotencyKey.of_body("rider", f"{ride_id}-{place_of}", ride_id))

    for first in range(0, rides, DRIVERS):
        await asyncio.gather(*(drive(n, n + 1) for n in range(first, min(first + DRIVERS, rides))))


async def _prune(database: Database) -> int:
    outbox = SqlOutbox(database)
    await outbox.mark_published((await outbox.progress())[0])
    settings = Settings(keep_answers_days=1e-9)  # the keys were added by the wall clock, a moment ago
    pruner, steps = Pruner(kinds_of(settings, database, kept_rows=1)), 0
    while await pruner.step():
        steps += 1
    return steps


async def _exact_places(database: Database) -> int:
    """Rows of rides, messages and answers that say where a ride began."""
    columns = {"rides": "body", "outbox_rows": "payload", "idempotency": "response", "offers": "body"}
    found = 0
    for table, column in columns.items():
        texts = [row[0] for row in await database.read(f"SELECT {column} FROM {table}")]  # noqa: S608 - the names above
        found += sum('"pickup":{' in text and '"node":-1}' not in text for text in texts)
    return found


async def _used_bytes(database: Database) -> int:
    """Of the tables of rides and of what they leave, with their indices; deleted pages are used again."""
    pages, free, size = [
        (await database.read(f"PRAGMA {name}"))[0][0] for name in ("page_count", "freelist_count", "page_size")
    ]
    return int((pages - free) * size)
