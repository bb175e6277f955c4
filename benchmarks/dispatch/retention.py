"""What rides leave in SQL, bytes per ride, before and after the deletion of what is old."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from backing.outbox.outbox import SqlOutbox
from backing.sql.database import Database
from benchmarks.common.measure import Report
from dispatch import commands as cmd
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.model import DispatchParams, ShiftStatus
from dispatch.service.rides import RideService
from hexhail.runtime.database import open_database
from hexhail.runtime.retention import DAY_S, Pruner, kinds_of
from hexhail.runtime.settings import Settings
from kernel.idempotency import IdempotencyKey
from kernel.points import Place

RIDES, RIDES_SMALL = 2_000, 50
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
            before = await _used_bytes(database) - empty
            began = time.process_time()
            steps = await _prune(database)
            cpu_s = time.process_time() - began
            after = await _used_bytes(database) - empty
    for name, used in (("before", before), ("after", after)):
        report.figure(f"bytes per ride, {name}", used / rides, "B")
        report.figure(f"bytes per driver-hour, {name}", used / rides * RIDES_PER_DRIVER_HOUR, "B")
    report.figure("steps", steps, "steps of up to 500 rows of a kind")
    report.figure("CPU of the deletion", cpu_s / rides * 1e6, "us per ride")


async def _drive(database: Database, rides: int) -> None:
    """So many rides from the request to the dropoff, each command with a key, as applications send it."""
    now_s = time.time() - 100.0 * DAY_S
    service = RideService(SqlRideStore(database), _NoLeases(), DispatchParams(), lambda: now_s)
    for driver in range(DRIVERS):
        await service.set_shift(cmd.SetShift(f"driver{driver}", ShiftStatus.ONLINE, 4))
    place = Place(40.75, -73.98, 1)

    async def drive(number: int, token: int) -> None:
        ride_id, driver_id = f"ride{number}", f"driver{number % DRIVERS}"
        request = cmd.RequestRide(ride_id, "town", f"rider{number}", f"quote{number}", place, place, 1, 1200, "USD")
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


async def _used_bytes(database: Database) -> int:
    """Of the tables of rides and of what they leave, with their indices; deleted pages are used again."""
    pages, free, size = [
        (await database.read(f"PRAGMA {name}"))[0][0] for name in ("page_count", "freelist_count", "page_size")
    ]
    return int((pages - free) * size)
