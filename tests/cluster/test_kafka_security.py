"""Every client of Kafka over TLS, signed in by name or by certificate, on a broker that takes nobody else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from hexhail.runtime.connections import DependencyMissing, connect_producer, ensure_topics, joined_owners
from hexhail.runtime.settings import Settings
from kernel.contracts import redis_keys
from kernel.contracts.topics import PINGS_TOPIC
from location_ingest.adapters.kafka_pings import KafkaPings
from location_ingest.columns import PingColumns
from tests.api.two_regions import CITIES, write_city
from tests.kafka.secured import PASSWORD, USERNAME, SecuredNode
from tests.kafka.server import SESSION_S
from tests.patience import PATIENCE_S, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.kafka, pytest.mark.servers]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def node(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredNode]:
    secured = SecuredNode(tmp_path_factory.mktemp("secured"))
    try:
        secured.start()
        asyncio.run(_until_it_answers(secured))
        yield secured
    finally:
        secured.close()


async def _until_it_answers(node: SecuredNode) -> None:
    async def answers() -> bool:
        try:
            await ensure_topics(Settings(**signed_in(node, "SCRAM-SHA-512")))
        except DependencyMissing:
            return False
        return True

    await eventually(answers, every_s=0.5)


def signed_in(node: SecuredNode, mechanism: str) -> dict[str, Any]:
    return {
        "broker_url": f"127.0.0.1:{node.port}",
        "broker_security": "SASL_SSL",
        "broker_ca_file": node.folder / "ca.pem",
        "broker_sasl_mechanism": mechanism,
        "broker_username": USERNAME,
        "broker_password": PASSWORD,
        "broker_session_timeout_s": SESSION_S,
    }


def by_certificate(node: SecuredNode) -> dict[str, Any]:
    return {
        "broker_url": f"127.0.0.1:{node.tls_port}",
        "broker_security": "SSL",
        "broker_ca_file": node.folder / "ca.pem",
        "broker_cert_file": node.folder / "client.crt",
        "broker_key_file": node.folder / "client.key",
        "broker_session_timeout_s": SESSION_S,
    }


WAYS = {
    "PLAIN": lambda node: signed_in(node, "PLAIN"),
    "SCRAM-SHA-256": lambda node: signed_in(node, "SCRAM-SHA-256"),
    "SCRAM-SHA-512": lambda node: signed_in(node, "SCRAM-SHA-512"),
    "a certificate": by_certificate,
}


@pytest.mark.parametrize("way", WAYS)
async def test_topics_producers_owners_and_faust_workers_reach_the_broker(
    node: SecuredNode, way: str, empty_redis: Redis, valkey_port: int, tmp_path: Path
) -> None:
    write_city(tmp_path / "harlem", "harlem")
    settings = Settings(**WAYS[way](node), city_dir=tmp_path / "harlem")
    producer = await connect_producer(settings)
    env = {
        f"HEXHAIL_{name.upper()}": str(value)
        for name, value in {**WAYS[way](node), "city_dir": tmp_path / "harlem", "data_dir": tmp_path / "data"}.items()
    }
    env |= {"HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0"}
    command = [sys.executable, "-m", "hexhail", "serve", "ingester"]
    with (tmp_path / "log").open("ab") as out:
        ingester = subprocess.Popen(command, env={**os.environ, **env}, cwd=ROOT, stdout=out, stderr=out)
    try:
        async with joined_owners(settings, f"owners by {way}") as ownership:
            await eventually(lambda: ownership.owns("harlem"))
        row = [[time.time(), *CITIES["harlem"][2:4], *[np.nan] * 3]]
        group = PingColumns("harlem", time.time(), ["ada"], np.array(row))
        await KafkaPings(producer, PINGS_TOPIC, lambda region_id: (0,)).append(group)

        async def is_in_its_cell() -> bool:
            assert ingester.poll() is None, (tmp_path / "log").read_text()[-3000:]
            return bool(await empty_redis.hexists(redis_keys.driver_index("harlem"), "ada"))

        await eventually(is_in_its_cell, every_s=0.2)
    finally:
        ingester.terminate()
        ingester.wait(PATIENCE_S)
        await producer.stop()


@pytest.mark.parametrize("wrong", [{"broker_password": "a wrong one"}, {"broker_ca_file": None}])
async def test_a_wrong_password_and_an_unknown_authority_are_refused(node: SecuredNode, wrong: dict[str, Any]) -> None:
    settings = Settings(**signed_in(node, "SCRAM-SHA-512") | wrong)
    for connect in (connect_producer, ensure_topics):
        with pytest.raises(DependencyMissing, match="HEXHAIL_BROKER_SECURITY"):
            await connect(settings)
