"""Addresses of Redis and Valkey: one server, a cluster, or a primary that sentinels watch. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl, unquote, urlsplit

PORT = 6379
SENTINEL_PORT = 26379

FORMS = (
    "redis://[USER:PASSWORD@]HOST[:PORT][/DB], redis+cluster://HOST[:PORT],HOST[:PORT],…, "
    "redis+sentinel://HOST[:PORT],HOST[:PORT],…/SERVICE[/DB], or unix:///PATH; rediss for TLS"
)
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class Topology(Enum):
    """How the servers behind an address stand to each other."""

    ONE = "one"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What an address says. ``hosts`` are those of the server, of some of the cluster's nodes, or of the sentinels."""

    topology: Topology
    hosts: tuple[tuple[str, int], ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    #: Name of the primary among the sentinels; empty for the others.
    service: str = ""
    #: Path of a Unix socket; empty where there are hosts.
    socket_path: str = ""
    is_tls: bool = False
    #: Arguments of redis-py for TLS.
    tls: Mapping[str, str | bool] = field(default_factory=dict)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The address without user and password."""
        if self.socket_path:
            return f"unix://{self.socket_path}"
        scheme = "rediss" if self.is_tls else "redis"
        kind = "" if self.topology is Topology.ONE else f"+{self.topology.value}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        ends = {Topology.ONE: f"/{self.db}", Topology.CLUSTER: "", Topology.SENTINEL: f"/{self.service}/{self.db}"}
        return f"{scheme}{kind}://{hosts}{ends[self.topology]}"


def parse_address(url: str) -> RedisAddress:
    """Return what the URL says. Raises ValueError with one line that says what is wrong, without the password."""
    parts = urlsplit(url)
    kind, plus, topology_name = parts.scheme.partition("+")
    if parts.scheme == "unix":
        return _unix_socket(parts.path, parts.query)
    if kind not in ("redis", "rediss") or (plus and topology_name not in ("cluster", "sentinel")):
        raise ValueError(f"the scheme {parts.scheme!r} is none of Redis; write {FORMS}")
    topology = Topology(topology_name) if plus else Topology.ONE
    credentials, _, hosts_text = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    hosts = _hosts(hosts_text, SENTINEL_PORT if topology is Topology.SENTINEL else PORT)
    if topology is Topology.ONE and len(hosts) > 1:
        raise ValueError(
            "several hosts in a redis:// address; write redis+cluster://HOST,HOST for a cluster, "
            "or redis+sentinel://HOST,HOST/SERVICE for sentinels"
        )
    service, db = _path(topology, unquote(parts.path))
    options = _options(parts.query, topology, is_tls=kind == "rediss")
    return RedisAddress(
        topology,
        hosts,
        unquote(username) or None,
        unquote(password) or None,
        db,
        service,
        is_tls=kind == "rediss",
        tls={name: _tls_value(name, value) for name, value in options.items() if name in _TLS_OPTIONS},
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _unix_socket(path: str, query: str) -> RedisAddress:
    if not path or query:
        raise ValueError(f"a Unix socket is given as unix:///PATH, without a query; write {FORMS}")
    return RedisAddress(Topology.ONE, (), socket_path=unquote(path))


def _hosts(text: str, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for one in text.split(","):
        # A host in brackets is an IPv6 address, whose colons part no port.
        end = one.rfind("]") + 1
        host, colon, port_text = one[end:].partition(":")
        host = one[:end].strip("[]") if end else host
        if not host:
            raise ValueError(f"no host in {text!r}; write {FORMS}")
        port = port_text if colon else str(default_port)
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
            raise ValueError(f"{port!r} is no port of {host!r}; write HOST:PORT, with commas between several")
        hosts.append((unquote(host), int(port)))
    return tuple(hosts)


def _path(topology: Topology, path: str) -> tuple[str, int]:
    """Name of the service and number of the database."""
    names = [name for name in path.split("/") if name]
    service = names.pop(0) if topology is Topology.SENTINEL and names else ""
    if topology is Topology.SENTINEL and not service:
        raise ValueError("no service: write redis+sentinel://HOST,HOST/SERVICE, the name that the sentinels monitor")
    db_text = names.pop(0) if names else "0"
    if names or not (db_text.isascii() and db_text.isdigit()):
        raise ValueError(f"{path!r} names no database; write {FORMS}")
    if topology is Topology.CLUSTER and int(db_text):
        raise ValueError(f"a cluster has database 0 alone, not {db_text}")
    return service, int(db_text)


def _options(query: str, topology: Topology, *, is_tls: bool) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = (_TLS_OPTIONS if is_tls else frozenset()) | (
        _SENTINEL_OPTIONS if topology is Topology.SENTINEL else frozenset()
    )
    unknown = sorted(options.keys() - known)
    if unknown:
        allowed = ", ".join(sorted(known)) or "none here: those of TLS need rediss"
        raise ValueError(f"unknown option {unknown[0]!r} in the query; known are {allowed}")
    return options


def _tls_value(name: str, value: str) -> str | bool:
    if name != "ssl_check_hostname":
        return value
    if value.lower() not in _YES_NO:
        raise ValueError(f"{name} is yes or no, not {value!r}")
    return _YES_NO[value.lower()]
