"""Apache Kafka for the tests: one node in KRaft mode, out of the jars that Maven has.

The jars are fetched once, into .cache/: `python -m tests.kafka.server`. Tests never fetch: where the jars are not
there, they are skipped with the reason.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
POM = Path(__file__).with_name("pom.xml")
#: By version: another pom fetches anew.
JARS = ROOT / ".cache" / "kafka-3.9.1"
#: A laptop has this much for a broker of a few megabytes.
HEAP = "384m"
CLUSTER_ID = "hexhail-tests-kraft-00"
#: The least session a member may ask for (group.min.session.timeout.ms).
SESSION_S = 6.0
FETCH_S_MAX = 300.0

_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


class KafkaUnavailable(Exception):
    """There is no Apache Kafka to be had; the message says what is missing."""


def find_jars() -> Path:
    """Return the folder of the jars. Raises KafkaUnavailable."""
    if shutil.which("java") is None:
        raise KafkaUnavailable("Apache Kafka needs Java 17, and there is no `java` here")
    if not any(JARS.glob("kafka_2.13-*.jar")):
        raise KafkaUnavailable("Apache Kafka's jars are not in .cache: fetch them with python -m tests.kafka.server")
    return JARS


def fetch_jars() -> Path:
    """Have Maven copy the jars unless they are there. Raises KafkaUnavailable."""
    if any(JARS.glob("kafka_2.13-*.jar")):
        return find_jars()
    if shutil.which("mvn") is None:
        raise KafkaUnavailable("Apache Kafka's jars come by Maven, and there is no `mvn` here")
    partial = JARS.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S_MAX)
    except subprocess.TimeoutExpired:
        raise KafkaUnavailable(f"Maven did not fetch Apache Kafka's jars within {FETCH_S_MAX:.0f} s") from None
    if done.returncode != 0:
        raise KafkaUnavailable(f"Maven could not fetch Apache Kafka's jars: {done.stdout.strip()[:500]}")
    # In one step: what is there is whole.
    partial.rename(JARS)
    return find_jars()


def kafka_command(port: int, folder: Path) -> list[str]:
    """Return the command that runs a broker on the port, its data in the folder. Raises KafkaUnavailable."""
    properties = folder / "server.properties"
    if not properties.exists():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            controller = probe.getsockname()[1]
        folder.mkdir(parents=True, exist_ok=True)
        properties.write_text(_PROPERTIES.format(port=port, controller=controller, folder=folder), encoding="utf-8")
        format_storage(properties)
    return [*java_command(HEAP), "kafka.Kafka", str(properties)]


def java_command(heap: str) -> list[str]:
    """Return how a class of Kafka is run. Raises KafkaUnavailable."""
    return ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{find_jars()}/*"]


def format_storage(properties: Path, *more: str) -> None:
    """Prepare the data folder of a node; ``more`` are options of the storage tool."""
    storage = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties), *more]
    subprocess.run([*java_command(HEAP), *storage], check=True, capture_output=True, timeout=PATIENCE_S)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{fetch_jars()}\n")
    except KafkaUnavailable as error:
        sys.exit(str(error))
