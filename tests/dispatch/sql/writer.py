"""A process that writes rides until it is done or killed: `writer.py <database URL> <name> <how many>`.

Prints the id of each ride that was acknowledged, and `refused <error>` for one that was not.
"""

from __future__ import annotations

import asyncio
import sys

from dispatch.adapters.sql.store import SqlRideStore
from dispatch.service.rides import RideService
from hexhail.runtime.database import open_database
from tests.dispatch.people import PARAMS, Clock, MemoryLeases, request

CLIENTS = 16


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _write(database_url: str, name: str, count: int) -> None:
    database = await open_database(database_url)
    rides = RideService(SqlRideStore(database), MemoryLeases(), PARAMS, Clock())
    numbers = iter(range(count))

    async def client() -> None:
        for n in numbers:
            ride_id = f"{name}-{n}"
            try:
                await rides.handle(request(ride_id, rider_id=name))
            except Exception as error:
                say(f"refused {error!r}")
            else:
                say(ride_id)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    await database.close()


if __name__ == "__main__":
    asyncio.run(_write(sys.argv[1], sys.argv[2], int(sys.argv[3])))
