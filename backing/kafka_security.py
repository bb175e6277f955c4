"""How clients of Kafka sign in and encrypt."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True)
class Security:
    """How clients reach brokers: in the clear or by TLS, and as whom.

    Raises ValueError where the parts do not fit each other, and the OSError of a file that cannot be read.
    """

    protocol: Protocol = "PLAINTEXT"
    #: Certificates that brokers are checked against; without them the system's.
    ca_file: Path | None = None
    #: The client's own certificate and key, where brokers ask for one.
    cert_file: Path | None = None
    key_file: Path | None = None
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.has_sasl != bool(self.username and self.password):
            expected = "needs a user name and a password" if self.has_sasl else "takes no user name and password"
            raise ValueError(f"the broker's security protocol {self.protocol} {expected}")
        if not self.has_tls and (self.ca_file or self.cert_file):
            raise ValueError(f"the broker's security protocol {self.protocol} takes no certificates: SSL or SASL_SSL")

    @property
    def has_sasl(self) -> bool:
        """Whether clients sign in."""
        return self.protocol.startswith("SASL")

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol.endswith("SSL")

    def tls_context(self) -> ssl.SSLContext | None:
        """Return a context that checks certificate and host name of brokers; None without TLS. Raises OSError."""
        if not self.has_tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of aiokafka's clients. Raises OSError."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.tls_context()}
        if self.has_sasl:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options


PLAINTEXT = Security()
