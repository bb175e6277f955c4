"""Three nodes of Apache Kafka that can be killed, paused and started again, each broker and controller in one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from hexhail.runtime import embedded
from tests.kafka.server import format_storage, java_command
from tests.patience import PATIENCE_S, eventually

HEAP = "256m"

# A dead broker is noticed after 3 s instead of 9, one that lags after 4 instead of 30: a test does not wait for more.
_PROPERTIES = """process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
replica.lag.time.max.ms=4000
"""


class Cluster:
    """Nodes by number, from 1."""

    def __init__(self, folder: Path, nodes: int = 3) -> None:
        ports = embedded.free_ports(2 * nodes)
        self.ports = dict(enumerate(ports[:nodes], 1))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._properties: dict[int, Path] = {}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(ports[nodes:], 1))
        for node, controller in enumerate(ports[nodes:], 1):
            home = folder / str(node)
            home.mkdir(parents=True)
            self._properties[node] = home / "server.properties"
            self._properties[node].write_text(
                _PROPERTIES.format(node=node, voters=voters, port=self.ports[node], controller=controller, folder=home),
                encoding="utf-8",
            )

    @property
    def url(self) -> str:
        """The addresses of all nodes."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports.values())

    def start(self, *nodes: int) -> None:
        """Start these nodes, or all; `ready` waits for them."""
        for node in nodes or self.ports:
            properties = self._properties[node]
            if not (properties.parent / "data").exists():
                format_storage(properties)
            with (properties.parent / "log").open("ab") as out:
                self._processes[node] = subprocess.Popen(
                    [*java_command(HEAP), "kafka.Kafka", str(properties)], stdout=out, stderr=out
                )

    async def ready(self) -> None:
        """Wait until every node that was started takes part. The brokers write no log: they are asked."""
        running = sum(process.poll() is None for process in self._processes.values())

        async def all_are_there() -> bool:
            try:
                described = await self._ask(lambda admin: admin.describe_cluster())
            except (KafkaError, OSError):
                return False
            return len(described["brokers"]) == running

        await eventually(all_are_there, every_s=0.2)

    def kill(self, node: int) -> None:
        """End a node as a power cut does."""
        process = self._processes[node]
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(PATIENCE_S)

    def close(self) -> None:
        """End all nodes."""
        for node in self._processes:
            self.kill(node)

    async def leader(self, topic: str, partition: int) -> int:
        """Return the node that leads a partition; -1 where nobody does."""
        return int((await self.partition(topic, partition))["leader"])

    async def partition(self, topic: str, number: int) -> dict[str, Any]:
        """Return what the brokers say of a partition: leader, replicas, isr."""
        (described,) = await self._ask(lambda admin: admin.describe_topics([topic]))
        return next(found for found in described["partitions"] if found["partition"] == number)

    async def _ask(self, question: Any) -> Any:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.url.split(","))
        try:
            await admin.start()
            return await question(admin)
        finally:
            await admin.close()


async def _run(folder: Path) -> None:
    cluster = Cluster(folder)
    try:
        cluster.start()
        await cluster.ready()
        sys.stdout.write(f"{cluster.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    finally:
        cluster.close()


if __name__ == "__main__":  # for trying things: python -m tests.kafka.cluster FOLDER
    asyncio.run(_run(Path(sys.argv[1])))
