"""Three brokers for all tests of a file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.cluster import Cluster
from tests.kafka.server import KafkaUnavailable, find_jars


@pytest.fixture(scope="session")
def jars() -> Path:
    try:
        return find_jars()
    except KafkaUnavailable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def cluster(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Every test leaves all three nodes running."""
    nodes = Cluster(tmp_path_factory.mktemp("kafka"))
    try:
        nodes.start()
        asyncio.run(nodes.ready())
        yield nodes
    finally:
        nodes.close()
