"""A matcher of the drawn city in a process of its own: `owner.py <database> <redis port> <broker port> <topic>`.

Prints `taken` and `lost` as the region comes and goes.
"""

from __future__ import annotations

import asyncio
import sys

from redis.asyncio import Redis

from backing.ownership import KafkaOwnership
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.service.owned_rounds import OwnedRounds
from hexhail.roles.matcher import GROUP
from hexhail.runtime.database import open_database
from tests.dispatch.people import Clock
from tests.dispatch.test_matching_service import Matcher

ROUND_EVERY_S = 0.2
#: The embedded broker lets members join after a part of this.
SESSION_S = 3.0


async def _match(database: str, redis_port: int, broker_port: int, topic: str) -> None:
    store, redis = SqlRideStore(await open_database(f"sqlite:///{database}")), Redis(port=redis_port)
    ownership = KafkaOwnership([f"127.0.0.1:{broker_port}"], f"{GROUP}-{topic}", topic, lambda region_id: 0, SESSION_S)
    rounds = OwnedRounds("manhattan", ownership, Matcher(store, redis, Clock()).service)
    await ownership.start()
    owned = False
    while True:
        owns = await rounds.step() is not None
        if owns != owned:
            sys.stdout.write("taken\n" if owns else "lost\n")
            sys.stdout.flush()
        owned = owns
        await asyncio.sleep(ROUND_EVERY_S)


if __name__ == "__main__":
    asyncio.run(_match(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
