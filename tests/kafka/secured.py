"""One node of Apache Kafka that speaks TLS alone, and asks who one is: its certificates are made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.kafka.cluster import lasting_ports
from tests.kafka.server import format_storage, java_command
from tests.patience import PATIENCE_S

HEAP = "256m"
USERNAME, PASSWORD = "hexhail", "a password of the test"
PLAIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USERNAME}="{PASSWORD}"'
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"

_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=SASL_SSL://127.0.0.1:{port},SSL://127.0.0.1:{tls},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://127.0.0.1:{port},SSL://127.0.0.1:{tls},INTERNAL://127.0.0.1:{internal}
inter.broker.listener.name=INTERNAL
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={plain};
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram};
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram};
"""


class SecuredNode:
    """A node; `port` is that of SASL_SSL, `tls_port` that of SSL, which asks for a client's certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port, internal, controller = lasting_ports(4)
        self._process: subprocess.Popen[bytes] | None = None
        make_certificates(folder)
        self._properties = folder / "server.properties"
        text = _PROPERTIES.format(
            port=self.port,
            tls=self.tls_port,
            internal=internal,
            controller=controller,
            folder=folder,
            plain=PLAIN,
            scram=SCRAM,
        )
        self._properties.write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start it; its user is in its storage from the beginning."""
        users = [f"SCRAM-SHA-{bits}=[name={USERNAME},password={PASSWORD}]" for bits in (256, 512)]
        format_storage(self._properties, *(word for user in users for word in ("--add-scram", user)))
        with (self.folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                [*java_command(HEAP), "kafka.Kafka", str(self._properties)], stdout=out, stderr=out
            )

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)


def make_certificates(folder: Path) -> None:
    """Write ca.pem, broker.pem (key and certificate of 127.0.0.1), client.pem and client.key into a folder."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)

    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority"),
        *("-keyout", "ca.key", "-out", "ca.pem"),
    )
    for name in ("broker", "client"):
        (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
        openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", "extensions", "-out", f"{name}.crt"),
        )
    key, certificate = (folder / "broker.key").read_text(), (folder / "broker.crt").read_text()
    (folder / "broker.pem").write_text(key + certificate, encoding="utf-8")
