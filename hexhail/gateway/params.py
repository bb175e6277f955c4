"""What the gateway does, as checked values: addresses, limits and the words for when nobody serves."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hexhail.runtime.settings import INTERNAL_PORT_ABOVE, Settings

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})(?:/(?P<internal>\d{1,5}))?")
_PHONE = re.compile(r"[0-9+() ./-]{3,32}")
#: Paths end up in a line of the configuration, where a space would end the word.
_PATH = re.compile(r"[\w./@+-]+")


class GatewayRefused(ValueError):
    """A setting of the gateway is wrong; the message names it."""


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where an API process listens."""

    host: str
    port: int
    #: Of the operators' routes; the public one if it serves all.
    internal_port: int

    @classmethod
    def read(cls, text: str) -> ApiAddress:
        """Read `host:port` or `host:port/internal port`. Raises GatewayRefused."""
        found = _ADDRESS.fullmatch(text.strip())
        port = int(found["port"]) if found else 0
        internal = int(found["internal"] or port + INTERNAL_PORT_ABOVE) if found else 0
        if found is None or not (0 < port <= 65535 and 0 < internal <= 65535):
            raise GatewayRefused(f"HEXHAIL_GATEWAY_APIS: {text!r} is no host:port or host:port/internal-port")
        return cls(found["host"], port, internal)


@dataclass(frozen=True, slots=True)
class GatewayParams:
    """The gateway of one region."""

    apis: Sequence[ApiAddress]
    host: str = "127.0.0.1"
    port: int = 8000
    internal_host: str = "127.0.0.1"
    internal_port: int = 9000
    #: Certificate chain and key in one PEM file; None to speak HTTP without TLS.
    tls_cert: Path | None = None
    #: Networks of balancers in front, whose X-Forwarded-For names the client.
    trusted_proxies: Sequence[str] = ()
    #: Of the operators, for the page that is shown when no API serves; empty if there is none.
    phone: str = ""
    #: Limits, each 0 for none: requests a second from one address and with one token, over ten seconds;
    address_requests_per_s: int = 200
    token_requests_per_s: int = 20
    #: and requests and sockets of one address at once.
    address_connections_max: int = 2_000
    connections_max: int = 20_000
    #: Where HAProxy takes commands of operators; None for nowhere.
    admin_socket: Path | None = None

    def __post_init__(self) -> None:
        """Raise GatewayRefused for what would not be a configuration."""
        if not self.apis:
            raise GatewayRefused("HEXHAIL_GATEWAY_APIS names no API")
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise GatewayRefused(f"HEXHAIL_GATEWAY_TRUSTED_PROXIES: {error}") from error
        if self.phone and not _PHONE.fullmatch(self.phone):
            raise GatewayRefused(f"HEXHAIL_GATEWAY_PHONE: {self.phone!r} is no phone number such as +1 212 555 0100")
        for name in ("host", "internal_host"):
            if not re.fullmatch(r"[0-9A-Za-z.:*_-]*", getattr(self, name)):
                raise GatewayRefused(f"HEXHAIL_GATEWAY_{name.upper()}: {getattr(self, name)!r} is no address")
        for path in (self.tls_cert, self.admin_socket):
            if path is not None and not _PATH.fullmatch(str(path)):
                raise GatewayRefused(f"a path of the gateway has only letters, digits and ./@+-_: not {str(path)!r}")

    @classmethod
    def of(cls, settings: Settings) -> GatewayParams:
        """The gateway that the settings describe. Raises GatewayRefused."""
        own = f"{settings.api_host}:{settings.api_port}/{settings.internal_port_or_default}"
        return cls(
            apis=[ApiAddress.read(text) for text in (settings.gateway_apis or own).split(",")],
            host=settings.gateway_host,
            port=settings.gateway_port,
            internal_host=settings.gateway_internal_host,
            internal_port=settings.gateway_internal_port,
            tls_cert=settings.gateway_tls_cert,
            trusted_proxies=[text.strip() for text in settings.gateway_trusted_proxies.split(",") if text.strip()],
            phone=settings.gateway_phone,
            address_requests_per_s=settings.gateway_address_requests_per_s,
            token_requests_per_s=settings.gateway_token_requests_per_s,
            address_connections_max=settings.gateway_address_connections_max,
            connections_max=settings.gateway_connections_max,
            admin_socket=settings.gateway_admin_socket,
        )
