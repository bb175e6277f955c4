"""Pings over three brokers of which one dies, and ingesters that come and go meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from backing.kafka import Copies, create_topics, read_topics
from backing.ownership import KafkaOwnership
from backing.probes import WritesRefused, probe_broker
from hexhail.runtime.doctor import examine
from kernel.contracts.topics import ALL_TOPICS, PROBES_TOPIC
from location_ingest.adapters.kafka_pings import new_producer
from tests.kafka.cluster import Cluster
from tests.kafka.server import SESSION_S
from tests.location_ingest.faults import REGIONS, FaultTarget, Outcome, durable_valkey, run_faults
from tests.location_ingest.processes import Server, Worker
from tests.patience import PATIENCE_S, eventually, until

pytestmark = [pytest.mark.cluster, pytest.mark.kafka, pytest.mark.servers]

#: Far longer than a new leader takes: without one there is none.
AWAY_S = 12.0


@dataclass
class Brokers:
    """The cluster as one server to the faults: its address is a node that stays."""

    port: int


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = durable_valkey(tmp_path_factory.mktemp("store") / "valkey")
    try:
        server.start()
        yield server
    finally:
        server.kill()


def sound(outcome: Outcome) -> bool:
    """Whether no acknowledged ping was lost and nothing older came over something newer."""
    return outcome.count.lost == outcome.count.misplaced == outcome.older_over_newer == 0


def taken_since(target: FaultTarget, region_id: str, since_s: float) -> int:
    """Pings of a region that were sent and acknowledged after a moment."""
    phones = next(phones for phones in target.phones if phones.region_id == region_id)
    return sum(t_s > since_s for times in phones.taken.values() for t_s in times)


async def test_pings_go_on_without_the_leader_of_their_partition_and_none_acknowledged_is_lost(
    cluster: Cluster, store: Server, tmp_path: Path
) -> None:
    resumed_s: dict[str, float] = {}

    async def leader_killed(target: FaultTarget) -> None:
        leader = await cluster.leader(target.topic, 0)
        cluster.kill(leader)
        killed_s = time.time()
        for region_id in REGIONS:
            await until(lambda region_id=region_id: taken_since(target, region_id, killed_s) > 100)
            resumed_s[region_id] = time.time() - killed_s
        assert (await cluster.partition(target.topic, 0))["leader"] != leader
        cluster.start(leader)
        await cluster.ready()

    (outcome,) = await run_faults(
        [leader_killed], Brokers(cluster.ports[1]), store, tmp_path, session_s=SESSION_S, settle_s=1.0
    )
    assert sound(outcome), outcome
    assert outcome.count.taken == outcome.count.counted > 1_000
    assert max(resumed_s.values()) < PATIENCE_S, resumed_s


async def test_with_one_replica_the_pings_of_its_regions_stop_until_the_broker_is_back(
    cluster: Cluster, store: Server, tmp_path: Path
) -> None:
    """What every installation had before: the control of the test above."""
    while_away: dict[str, int] = {}

    async def leader_killed(target: FaultTarget) -> None:
        leader = await cluster.leader(target.topic, 0)
        cluster.kill(leader)
        await asyncio.sleep(2.0)  # what was on its way is through
        settled_s = time.time()
        await asyncio.sleep(AWAY_S)
        while_away.update({region_id: taken_since(target, region_id, settled_s) for region_id in REGIONS})

        async def nobody_leads() -> bool:
            return await cluster.leader(target.topic, 0) == -1

        await eventually(nobody_leads)
        cluster.start(leader)
        await cluster.ready()

    (outcome,) = await run_faults(
        [leader_killed],
        Brokers(cluster.ports[1]),
        store,
        tmp_path,
        session_s=SESSION_S,
        settle_s=1.0,
        copies=Copies(replication=1),
    )
    assert while_away["north"] == 0, while_away
    assert outcome.count.lost == 0, outcome


async def test_ingesters_join_and_leave_while_pings_arrive_and_none_of_them_dies(
    cluster: Cluster, store: Server, tmp_path: Path
) -> None:
    """A worker whose flow was paused by a rebalance died of an AttributeError, which caused the next rebalance."""
    unasked: list[tuple[int, str]] = []

    async def join_and_leave(target: FaultTarget) -> None:
        stopped: list[Worker] = []
        for _ in range(2):
            await target.start_second_worker()
        for worker in target.workers[1:3]:
            await asyncio.to_thread(worker.stop, PATIENCE_S)
            stopped.append(worker)
            await target.start_second_worker()
        unasked.extend(
            (number, worker.log.read_text()[-2000:])
            for number, worker in enumerate(target.workers)
            if worker.process.poll() is not None and (worker not in stopped or worker.process.returncode != 0)
        )

    (outcome,) = await run_faults(
        [join_and_leave], Brokers(cluster.ports[1]), store, tmp_path, session_s=SESSION_S, settle_s=1.0
    )
    assert unasked == []
    assert sound(outcome), outcome


@pytest.fixture
async def narrow(cluster: Cluster) -> AsyncIterator[int]:
    """All topics exist and need every replica in sync; yields the node that is killed and comes back."""
    await create_topics(cluster.url, ALL_TOPICS, 2, Copies(3, 3))
    node = max(cluster.ports)
    yield node
    cluster.start(node)
    await cluster.ready()


async def test_a_cluster_below_its_minimum_of_replicas_is_told_by_the_probe_and_the_doctor(
    cluster: Cluster, narrow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEXHAIL_BROKER_URL", cluster.url)
    monkeypatch.setenv("HEXHAIL_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("HEXHAIL_DATABASE_URL", "sqlite:////no/such/folder/hexhail.db")
    monkeypatch.setenv("HEXHAIL_TOPIC_PARTITIONS", "2")
    producer = new_producer(cluster.url.split(","))
    await producer.start()

    async def found() -> dict[str, Any]:
        return {finding.part: finding for finding in await examine()}

    async def all_is_well() -> bool:
        well = await found()
        return all(part in well and well[part].ok for part in ("broker", "topics", "regions"))

    try:
        await eventually(all_is_well)  # a node that was back a moment ago catches up first
        cluster.kill(narrow)

        async def is_refused() -> str | None:
            return await refusal_of(producer, PROBES_TOPIC)

        assert "too few replicas" in await eventually(is_refused)

        async def topics_are_told() -> Any:
            topics = (await found())["topics"]
            return None if topics.ok else topics

        told = await eventually(topics_are_told)
        assert "driver.pings (fewer than 3 replicas in sync: partitions 0, 1)" in told.seen
        assert "Bring back the brokers" in told.remedy
    finally:
        await producer.stop()


async def refusal_of(producer: AIOKafkaProducer, topic: str, *needed: tuple[str, int]) -> str | None:
    """What readiness says of the brokers; None if all is well."""
    try:
        await probe_broker(producer, topic, 0, needed)
    except WritesRefused as refusal:
        return str(refusal)
    return None


async def test_a_topic_that_exists_with_fewer_replicas_is_named_and_left_as_it_is(cluster: Cluster) -> None:
    await create_topics(cluster.url, ["lonely"], 2, Copies(replication=1))
    assert await create_topics(cluster.url, ["lonely"], 2) == [
        "topic lonely has 1 replicas, not 3 and min.insync.replicas 1, not 2"
    ]
    brokers, (state,) = await read_topics(cluster.url, ["lonely"])
    assert (brokers, state.replication, state.min_insync, state.refusing) == (3, 1, 1, ())


async def test_a_partition_without_a_leader_is_told_by_readiness_also_where_other_topics_are_well(
    cluster: Cluster,
) -> None:
    await create_topics(cluster.url, ["probed"], 1)
    await create_topics(cluster.url, ["single"], 1, Copies(replication=1))
    producer = new_producer(cluster.url.split(","))
    await producer.start()
    leader = await cluster.leader("single", 0)
    try:
        assert await refusal_of(producer, "probed", ("single", 0)) is None
        cluster.kill(leader)

        async def is_told() -> bool:
            told = await refusal_of(producer, "probed", ("single", 0))
            return told == "no broker leads single 0 (topic and partition)"

        async def the_other_topic_is_well() -> bool:
            return await refusal_of(producer, "probed") is None

        await eventually(is_told, every_s=0.2)
        await eventually(the_other_topic_is_well, every_s=0.2)
        _, (state,) = await read_topics(cluster.url, ["single"])
        assert state.refusing == (0,)
    finally:
        cluster.start(leader)
        await cluster.ready()
        await producer.stop()


async def test_owners_with_another_table_wait_until_those_before_have_left(cluster: Cluster) -> None:
    """A region that moves to another partition had two owners: each took it for its own by its own table."""
    topic = "owners.moving"
    await create_topics(cluster.url, [topic], 2)
    before = owners(cluster, topic, {"north": 0, "south": 1}, "")
    after = owners(cluster, topic, {"north": 1, "south": 0}, "north 1, south 0")
    joined = owners(cluster, topic, {"north": 1, "south": 0}, "north 1, south 0")
    try:
        await before.start()
        await eventually(lambda: before.owns("north"))
        await after.start()
        await asyncio.sleep(2.0)  # several times as long as a join takes
        assert [await after.owns(name) for name in ("north", "south")] == [False, False]
        assert [await before.owns(name) for name in ("north", "south")] == [True, True]
        await before.stop()
        await eventually(lambda: after.owns("north"))
        await joined.start()

        async def is_shared() -> bool:
            both = [[await member.owns(name) for name in ("north", "south")] for member in (after, joined)]
            return sorted(both) == [[False, True], [True, False]]

        await eventually(is_shared)
    finally:
        await after.stop()
        await joined.stop()


def owners(cluster: Cluster, topic: str, home_of: dict[str, int], table: str) -> KafkaOwnership:
    return KafkaOwnership(cluster.url.split(","), "movers", topic, home_of.__getitem__, SESSION_S, table=table)
