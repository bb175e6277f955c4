"""Pings from a real broker, judged as the ingester judges them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiokafka import AIOKafkaProducer

from backing.kafka import create_topics
from backing.ownership import KafkaOwnership
from kernel.contracts.partitions import RegionPartitions
from location_ingest.adapters.kafka_believed import BelievedPings
from location_ingest.adapters.ping_codec import encode_columns
from location_ingest.columns import PingColumns
from location_ingest.model import IngestParams

pytestmark = pytest.mark.servers

NOW_S = 1.7e9
PARTITIONS = 3
#: The pings of the town are in two partitions.
REGIONS = RegionPartitions(["town", "village"], PARTITIONS, {"town": [0, 2]})
PATIENCE_S = 30.0


class Member(BelievedPings):
    """A learner with its own membership among the owners."""

    def __init__(self, ownership: KafkaOwnership, servers: list[str], topic: str) -> None:
        super().__init__(servers, ownership, topic, REGIONS.pings, REGIONS.region_ids, IngestParams())

    async def start(self) -> None:
        await self._ownership.start()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        await self._ownership.stop()


class Topic:
    """A topic of its own, and who writes to it."""

    def __init__(self, port: int, name: str, producer: AIOKafkaProducer) -> None:
        self.server, self.name, self.producer = f"127.0.0.1:{port}", name, producer

    def member(self) -> Member:
        ownership = KafkaOwnership([self.server], f"group of {self.name}", f"{self.name}.owners", REGIONS.home, 3.0)
        return Member(ownership, [self.server], self.name)

    async def send(self, value: bytes, region_id: str = "town", *, turn: int = 0) -> None:
        await self.producer.send_and_wait(self.name, value, partition=REGIONS.pings(region_id)[turn])

    async def send_pings(self, *pings: tuple[str, float, float], region_id: str = "town") -> None:
        """Of each driver id, seconds after now and metres north of the start."""
        rows = [[NOW_S + after_s, 47.0 + north_m / 111_195.0, 8.0, *[np.nan] * 3] for _, after_s, north_m in pings]
        columns = PingColumns(
            region_id, NOW_S + max(ping[1] for ping in pings), [ping[0] for ping in pings], np.array(rows)
        )
        await self.send(encode_columns(columns), region_id)


@pytest.fixture
async def topic(broker_port: int, request: pytest.FixtureRequest) -> AsyncIterator[Topic]:
    name = request.node.name.replace("_", "-")[:60]
    await create_topics(f"127.0.0.1:{broker_port}", [name, f"{name}.owners"], PARTITIONS)
    async with AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{broker_port}") as producer:
        yield Topic(broker_port, name, producer)


async def joined(member: Member, *regions: str) -> None:
    """Return when the member owns the regions, and has asked where their partitions end."""
    await member.start()
    async with asyncio.timeout(PATIENCE_S):
        while not all(member.owns(region_id) for region_id in regions):
            await member.read(NOW_S, 0.1)
    await member._consumer.seek_to_end()


async def next_read(member: BelievedPings, now_s: float = NOW_S + 60.0) -> list[PingColumns]:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await member.read(now_s, 0.5)):
            pass
    return found


async def test_pings_that_jump_or_say_nothing_are_left_out_and_what_is_no_ping_stops_nobody(topic: Topic) -> None:
    member = topic.member()
    await joined(member, "town")
    try:
        await topic.send(b"no pings")
        await topic.send_pings(("ada", 0.0, 0.0), ("bob", 0.0, 0.0))
        (group,) = await next_read(member)
        assert group.driver_ids == ["ada", "bob"]
        await topic.send_pings(
            ("ada", 10.0, 100.0), ("bob", 10.0, 90_000.0), ("ada", 10.0, 100.0), ("ada", 20.0, 200.0)
        )
        (group,) = await next_read(member)
        assert group.driver_ids == ["ada", "ada"]
        assert group.values[:, 0].tolist() == [NOW_S + 10.0, NOW_S + 20.0]
    finally:
        await member.stop()


async def test_one_of_two_members_takes_over_from_the_other_with_the_newest_pings(topic: Topic) -> None:
    first, second = topic.member(), topic.member()
    await joined(first, "town", "village")
    try:
        await topic.send_pings(("ada", 0.0, 0.0))
        await next_read(first)
    finally:
        await first.stop()
    term = second.term
    await joined(second, "town", "village")
    try:
        assert second.term > term
        assert not first.owns("town")
        await topic.send_pings(("bob", 30.0, 0.0))
        (group,) = await next_read(second)
        assert group.driver_ids == ["bob"]
    finally:
        await second.stop()


async def test_the_owner_of_a_region_hears_its_pings_in_all_of_their_partitions(topic: Topic) -> None:
    """Among several members each heard the partitions that it was given, and so a part of a large region before."""
    first, second = topic.member(), topic.member()
    await joined(first, "town", "village")
    await second.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while {first.owns("town") - first.owns("village"), second.owns("town") - second.owns("village")} != {1, -1}:
                await asyncio.gather(first.read(NOW_S, 0.1), second.read(NOW_S, 0.1))
        owner = first if first.owns("town") else second
        await owner._consumer.seek_to_end()
        for turn, driver_id in enumerate(("ada", "bob")):
            columns = PingColumns("town", NOW_S, [driver_id], np.array([[NOW_S, 47.0, 8.0, *[np.nan] * 3]]))
            await topic.send(encode_columns(columns), turn=turn)
        heard = set[str]()
        async with asyncio.timeout(PATIENCE_S):
            while heard != {"ada", "bob"}:
                heard |= {driver_id for group in await owner.read(NOW_S + 60.0, 0.2) for driver_id in group.driver_ids}
        assert heard == {"ada", "bob"}
    finally:
        await first.stop()
        await second.stop()
