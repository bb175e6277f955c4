"""Three nodes of Apache Kafka that can be killed, paused and started again, each broker and controller in one."""

from __future__ import annotations

import asyncio
import random
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

# A dead broker is noticed after 6 s instead of 9, one that lags after 6 instead of 30. Not sooner: on a busy machine
# brokers that are alive would be taken for dead. The quorum waits three times as long as usual, for the same reason.
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
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
replica.lag.time.max.ms=6000
controller.quorum.election.timeout.ms=3000
controller.quorum.fetch.timeout.ms=6000
"""


class Cluster:
    """Nodes by number, from 1."""

    def __init__(self, folder: Path, nodes: int = 3) -> None:
        ports = lasting_ports(2 * nodes)
        self.ports = dict(enumerate(ports[:nodes], 1))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._wanted: set[int] = set()
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
        """Start these nodes, or all, unless they run; `ready` waits for them."""
        for node in nodes or self.ports:
            self._wanted.add(node)
            if node in self._processes and self._processes[node].poll() is None:
                continue
            properties = self._properties[node]
            if not (properties.parent / "data").exists():
                format_storage(properties)
            with (properties.parent / "log").open("ab") as out:
                self._processes[node] = subprocess.Popen(
                    [*java_command(HEAP), "kafka.Kafka", str(properties)], stdout=out, stderr=out
                )

    async def ready(self) -> None:
        """Wait until every node that was started takes part. The brokers write no log: they are asked."""

        async def all_are_there() -> bool:
            for node in self._wanted:
                if self._processes[node].poll() is not None:  # its port was taken for a moment
                    self.start(node)
            try:
                described = await self._ask(lambda admin: admin.describe_cluster())
            except (KafkaError, OSError):
                return False
            return len(described["brokers"]) == len(self._wanted)

        await eventually(all_are_there, every_s=0.2)

    def kill(self, node: int) -> None:
        """End a node as a power cut does."""
        self._wanted.discard(node)
        process = self._processes[node]
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(PATIENCE_S)

    def close(self) -> None:
        """End all nodes."""
        for node in list(self._processes):
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


def lasting_ports(count: int) -> list[int]:
    """Return free ports that no client connects from: a node that is killed finds its own free again."""
    found: list[int] = []
    for port in random.sample(range(20_000, 30_000), 2_000):
        if embedded.is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} ports are free between 20000 and 30000")


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
