"""The essential faults, on the embedded servers and, if installed, on Apache Kafka. All: `benchmarks faults`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backing import kafka
from tests.kafka.server import SESSION_S, KafkaUnavailable, find_jars, kafka_command
from tests.location_ingest import faults
from tests.location_ingest.faults import Outcome, durable_valkey, run_faults
from tests.location_ingest.processes import Server, tansu_command
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.servers


def sound(outcome: Outcome) -> bool:
    """Whether nothing was lost and nothing older came over something newer."""
    return outcome.count.lost == outcome.count.misplaced == outcome.older_over_newer == 0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = durable_valkey(tmp_path_factory.mktemp("store") / "valkey")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tansu_command, tmp_path_factory.mktemp("broker") / "tansu")
    try:
        server.start()
        yield server
    finally:
        server.kill()


async def test_garbage_the_death_of_the_store_and_that_of_the_worker_lose_nothing(
    tansu: Any, store: Any, tmp_path: Path
) -> None:
    async def one_after_the_other(target: faults.FaultTarget) -> None:
        await faults.one_frame_of_a_hundred_is_garbage(target)
        await faults.store_killed_and_restarted_with_its_data(target)
        await faults.worker_killed_in_the_middle_of_a_batch(target)

    (outcome,) = await run_faults([one_after_the_other], tansu, store, tmp_path, settle_s=1.0)
    assert sound(outcome), outcome
    assert outcome.count.taken == outcome.count.counted > 1_000
    assert outcome.dead_letters == outcome.garbage > 0
    assert outcome.recovery_s < PATIENCE_S


async def test_without_the_guard_the_same_death_is_noticed(tansu: Any, store: Any, tmp_path: Path) -> None:
    (outcome,) = await run_faults(
        [faults.worker_killed_in_the_middle_of_a_batch],
        tansu,
        store,
        tmp_path,
        settle_s=1.0,
        worker_options=("--unguarded",),
    )
    assert outcome.older_over_newer > 0, outcome


@pytest.fixture(scope="module")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    try:
        find_jars()
    except KafkaUnavailable as why:
        pytest.skip(str(why))
    server = Server(kafka_command, tmp_path_factory.mktemp("kafka") / "node")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.mark.kafka
async def test_apache_kafka_loses_nothing_either(apache_kafka: Any, store: Any, tmp_path: Path) -> None:
    (outcome,) = await run_faults(
        [faults.worker_killed_in_the_middle_of_a_batch],
        apache_kafka,
        store,
        tmp_path,
        session_s=SESSION_S,
        settle_s=1.0,
    )
    assert sound(outcome), outcome
    assert outcome.count.taken == outcome.count.counted > 1_000


@pytest.mark.kafka
async def test_topics_on_apache_kafka_are_created_once_and_must_have_their_partitions(apache_kafka_port: int) -> None:
    url = f"kafka://127.0.0.1:{apache_kafka_port}"
    await kafka.create_topics(url, ["one", "two"], 2)
    await kafka.create_topics(url, ["one", "two"], 2)
    with pytest.raises(kafka.TopicsDiffer, match="topic one has 2 partitions, not 3"):
        await kafka.create_topics(url, ["one"], 3)
