"""Two pricers and two ingesters of a region over three brokers: the owner of the prices is paused, woken and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from backing.kafka import create_topics
from hexhail.runtime.database import open_database
from kernel.contracts.topics import ALL_TOPICS, PINGS_TOPIC, RIDE_EVENTS_TOPIC
from location_ingest.adapters.kafka_pings import KafkaPings, new_producer
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.errors import PingsRefused
from location_ingest.metrics import GatewayMetrics
from location_ingest.model import DriverPing
from location_ingest.service import PingGateway
from tests.api.two_regions import CITIES, write_city
from tests.kafka.cluster import Cluster
from tests.kafka.server import SESSION_S
from tests.location_ingest.street import everywhere
from tests.patience import PATIENCE_S, until

pytestmark = [pytest.mark.cluster, pytest.mark.kafka, pytest.mark.servers]

REGION_ID = "harlem"
LAT_DEG, LNG_DEG = CITIES[REGION_ID][2:4]
#: City seconds per wall second: a tick each half second.
SPEED = 4.0
ROOT = Path(__file__).parents[2]


@dataclass
class Role:
    """`hexhail serve ROLE` in a process of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    is_to_end: bool = False

    def said(self, event: str) -> int:
        return self.log.read_text().count(f'"event": "{event}"') + self.log.read_text().count(f'"event":"{event}"')

    def kill(self) -> None:
        self.is_to_end = True
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        self.is_to_end = True
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@dataclass
class Street:
    """The region's stores, and the riders and drivers who move its prices."""

    folder: Path
    env: dict[str, str]
    producer: AIOKafkaProducer
    redis: Redis
    began_s: float = field(default_factory=time.time)
    roles: list[Role] = field(default_factory=list)

    def now_s(self) -> float:
        return self.began_s + (time.time() - self.began_s) * SPEED

    def start(self, role: str) -> Role:
        name = f"{role}-{len(self.roles)}"
        clock = {
            "HEXHAIL_CLOCK_SPEED": str(SPEED),
            "HEXHAIL_CLOCK_CITY_S": str(self.began_s),
            "HEXHAIL_CLOCK_WALL_S": str(self.began_s),
            "HEXHAIL_DATA_DIR": str(self.folder / name),
        }
        log = self.folder / f"{name}.log"
        command = [sys.executable, "-m", "hexhail", "serve", role]
        with log.open("ab") as out:
            env = {**os.environ, **self.env, **clock}
            process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=out, stderr=out)
        self.roles.append(Role(process, log))
        return self.roles[-1]

    def changes(self) -> list[tuple[str, float, float, float, int]]:
        """Cell, time, multiplier before and after, and epoch of each change, by cell and time."""
        connection = sqlite3.connect(f"file:{self.folder}/rides.db?mode=ro", uri=True)
        try:
            columns = "cell, at_s, multiplier_before, multiplier, epoch"
            return connection.execute(f"SELECT {columns} FROM surge_changes ORDER BY cell, at_s").fetchall()
        finally:
            connection.close()

    def epoch(self) -> int:
        """That of the newest change; 0 before the first."""
        return max((change[-1] for change in self.changes()), default=0)

    async def live(self) -> None:
        """Requests that come in waves, and drivers who drive about without taking one."""
        gateway = PingGateway(
            KafkaPings(self.producer, PINGS_TOPIC, lambda region_id: (0, 1)),
            RedisCells(self.redis),
            [REGION_ID],
            everywhere,
            metrics=GatewayMetrics(CollectorRegistry()),
        )
        place = {"lat_deg": LAT_DEG, "lng_deg": LNG_DEG, "node": 0}
        try:
            for turn in range(1_000_000):
                lat_deg = LAT_DEG + 1e-4 * (turn % 50)
                pings = [DriverPing(f"driver-{n}", self.now_s(), lat_deg, LNG_DEG + 1e-3 * n) for n in range(6)]
                with suppress(PingsRefused):
                    await gateway.submit(pings, self.now_s())
                for _ in range(4 if turn // 12 % 2 == 0 else 0):
                    event: dict[str, Any] = {
                        "event": "RideRequested",
                        "ride_id": uuid.uuid4().hex,
                        "rider_id": uuid.uuid4().hex,
                    }
                    event |= {"sequence": 1, "at_s": self.now_s(), "region_id": REGION_ID, "pickup": place}
                    await self.producer.send_and_wait(RIDE_EVENTS_TOPIC, json.dumps(event).encode(), partition=0)
                await asyncio.sleep(0.5)
        finally:
            await gateway.close()


@pytest.fixture
async def street(cluster: Cluster, valkey_port: int, empty_redis: Redis, tmp_path: Path) -> AsyncIterator[Street]:
    write_city(tmp_path / REGION_ID, REGION_ID)
    await create_topics(cluster.url, ALL_TOPICS, 2)
    await (await open_database(f"sqlite:///{tmp_path}/rides.db")).close()
    env = {
        "HEXHAIL_CITY_DIR": str(tmp_path / REGION_ID),
        "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0",
        "HEXHAIL_BROKER_URL": cluster.url,
        "HEXHAIL_BROKER_SESSION_TIMEOUT_S": str(SESSION_S),
        "HEXHAIL_TOPIC_PARTITIONS": "2",
        "HEXHAIL_REGION_PARTITIONS": json.dumps({REGION_ID: [0, 1]}),
        "HEXHAIL_DATABASE_URL": f"sqlite:///{tmp_path}/rides.db",
    }
    producer = new_producer(cluster.url.split(","))
    await producer.start()
    street = Street(tmp_path, env, producer, empty_redis)
    living = asyncio.create_task(street.live())
    try:
        yield street
        assert not living.done(), living.exception()
    finally:
        living.cancel()
        for role in street.roles:
            role.kill()
        await asyncio.gather(living, return_exceptions=True)
        await producer.stop()


def broken(changes: list[tuple[str, float, float, float, int]]) -> list[Any]:
    """Changes of a cell that do not begin with the price that the change before left, or whose epoch went back."""
    return [
        (one, next_one)
        for one, next_one in pairwise(changes)
        if one[0] == next_one[0] and (one[3] != next_one[2] or one[4] > next_one[4])
    ]


async def prices_moved(street: Street, changes: int, after_epoch: int = 0) -> None:
    """Wait for so many changes of epochs after one."""
    await until(lambda: sum(change[-1] > after_epoch for change in street.changes()) >= changes)


async def test_prices_of_two_pricers_are_one_walk_also_when_their_owner_is_paused_and_killed(street: Street) -> None:
    """Both walked the same prices before: 100 of 358 changes began with a price that nobody had left."""
    pricers = [street.start("pricer"), street.start("pricer")]
    ingesters = [street.start("ingester"), street.start("ingester")]
    await prices_moved(street, 20)
    owner = max(pricers, key=lambda role: role.said("pricing_taken"))
    first = street.epoch()
    owner.process.send_signal(signal.SIGSTOP)
    await prices_moved(street, 10, first)
    owner.process.send_signal(signal.SIGCONT)
    # The one that wakes learns that it was replaced from its group, or when its first price is refused.
    await until(lambda: owner.said("pricer_superseded") or owner.said("partitions_assigned") > 1)
    # Both are killed in turn, of which one owns the region, while a third joins.
    third = street.start("pricer")
    await until(lambda: third.said("partitions_assigned"))
    for role in pricers:
        role.kill()
        street.start("pricer")
    assert ingesters[0].stop() == 0
    street.start("ingester")
    await prices_moved(street, 10, street.epoch())
    changes = street.changes()
    died = [role for role in street.roles if role.process.poll() is not None and not role.is_to_end]
    assert not died, [role.log.read_text()[-2000:] for role in died]
    assert broken(changes) == []
    assert len({change[-1] for change in changes}) >= 3
