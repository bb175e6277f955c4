"""Settings from environment variables `HEXHAIL_…`; only the composition root reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from backing.kafka import Copies
from backing.kafka_security import Mechanism, Protocol, Security
from kernel.clock import CityClock
from kernel.keyring import KeyRing

_PACKAGE = Path(__file__).parents[1]
MANHATTAN = _PACKAGE / "cities" / "manhattan"

#: The internal port is so far above the API's if nobody says: regions' ports, which follow each other, do not meet it.
INTERNAL_PORT_ABOVE = 1_000


def _built_pages() -> Path:
    """The folder of the web pages: in the wheel, or where a checkout builds them."""
    packaged = _PACKAGE / "web"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "web" / "dist"


class Settings(BaseSettings):
    """The settings of an installation: addresses, folders, keys and the clock."""

    model_config = SettingsConfigDict(env_prefix="HEXHAIL_", extra="ignore")

    city_dir: Annotated[Path, Field(description="folder of the city whose region the API serves")] = MANHATTAN
    city_dirs: Annotated[
        str, Field(description="folders of all cities that share these stores, separated as in PATH; default: city_dir")
    ] = ""
    redis_url: Annotated[
        str,
        Field(
            description="address of Redis or Valkey: redis://HOST, redis+cluster://HOST,HOST for a cluster, "
            "redis+sentinel://HOST,HOST/SERVICE for a primary under sentinels; rediss for TLS"
        ),
    ] = "redis://127.0.0.1:6379/0"
    broker_url: Annotated[str, Field(description="Kafka bootstrap servers, host:port")] = "127.0.0.1:9092"
    database_url: Annotated[
        str,
        Field(
            description="sqlite:///FILE or postgresql://USER@HOST/NAME; several hosts as HOST,HOST:PORT, of which the "
            "one that takes writes is used"
        ),
    ] = "sqlite:///hexhail.db"
    database_replica_url: Annotated[
        str | None,
        Field(description="a streaming replica, for history and operators' figures alone; postgresql://…"),
    ] = None
    database_replica_age_s_max: Annotated[
        float, Field(gt=0, description="seconds that the replica may be behind; if it is more the primary is asked")
    ] = 30.0
    database_pooler: Annotated[
        bool, Field(description="`database_url` leads to PgBouncer in transaction mode, or a pooler like it")
    ] = False
    database_direct_url: Annotated[
        str | None,
        Field(
            description="address past the pooler, at which the relay waits for news; without it the relay asks 50 "
            "times a second through the pooler"
        ),
    ] = None
    database_statements_kept: Annotated[
        int | None,
        Field(
            ge=0,
            description="prepared statements that each connection to PostgreSQL keeps; 100 if not set, and 0 over a "
            "pooler (PgBouncer from 1.21 on can keep them: `max_prepared_statements`)",
        ),
    ] = None
    database_connections_api: Annotated[
        int, Field(ge=1, description="connections to PostgreSQL of one API process at most")
    ] = 10
    database_connections_role: Annotated[
        int, Field(ge=1, description="connections to PostgreSQL of one process of another role at most")
    ] = 4
    database_timeout_s: Annotated[
        float, Field(ge=0, description="seconds after which PostgreSQL counts as away if it does not answer; 0: never")
    ] = 10.0
    api_host: Annotated[str, Field(description="address the API listens on")] = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535, description="port of the API; 0 for any free one")] = 8080
    internal_host: Annotated[
        str, Field(description="address of the API's internal port: reachable by operators and monitoring alone")
    ] = "127.0.0.1"
    internal_port: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            description="port of the operators' routes and map and of `/metrics`, which serves everything else too; "
            "1,000 above `api_port` if not set; the `api_port` itself to serve all of it there",
        ),
    ] = None
    gateway_addresses: Annotated[
        str,
        Field(description="addresses of the gateways, separated by commas: their X-Forwarded-For counts, no other's"),
    ] = "127.0.0.1"
    gateway_apis: Annotated[
        str,
        Field(
            description="the APIs behind the gateway: `host:port` or `host:port/internal port` of each, separated by "
            "commas; default: the API of these settings"
        ),
    ] = ""
    gateway_host: Annotated[str, Field(description="address the gateway listens on")] = "127.0.0.1"
    gateway_port: Annotated[int, Field(ge=1, le=65535, description="port of the gateway, for riders and drivers")] = (
        8000
    )
    gateway_internal_host: Annotated[str, Field(description="address of the gateway's internal port")] = "127.0.0.1"
    gateway_internal_port: Annotated[
        int,
        Field(ge=1, le=65535, description="the gateway's port for operators; `/metrics` there are the gateway's own"),
    ] = 9000
    gateway_tls_cert: Annotated[
        Path | None,
        Field(description="PEM file of certificates and key; with it the gateway speaks TLS and HTTP/2, else HTTP"),
    ] = None
    gateway_trusted_proxies: Annotated[
        str,
        Field(
            description="networks of balancers in front of the gateway, separated by commas, "
            "whose X-Forwarded-For counts"
        ),
    ] = ""
    gateway_phone: Annotated[
        str, Field(description="the operators' phone number, on the page that is shown when no API serves")
    ] = ""
    gateway_address_requests_per_s: Annotated[
        int,
        Field(ge=0, description="requests a second from one address, over ten seconds; 0 for no limit"),
    ] = 200
    gateway_token_requests_per_s: Annotated[
        int, Field(ge=0, description="requests a second with one token, over ten seconds; 0 for no limit")
    ] = 20
    gateway_address_connections_max: Annotated[
        int, Field(ge=0, description="requests and sockets of one address at once; 0 for no limit")
    ] = 2_000
    gateway_connections_max: Annotated[
        int, Field(ge=10, description="connections to the gateway at once; fewer where the system allows fewer files")
    ] = 20_000
    gateway_admin_socket: Annotated[
        Path | None, Field(description="where the gateway takes HAProxy's commands, such as of an autoscaler")
    ] = None
    api_docs: Annotated[bool, Field(description="serve `/docs` and `/openapi.json`")] = False
    metrics_host: Annotated[
        str, Field(description="address of `metrics_port`; for probes and scrapes from other hosts that of this one")
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int,
        Field(
            ge=0,
            le=65535,
            description="port of this role's own `/healthz`, `/readyz` and `/metrics`; 0 for none; `hexhail serve` "
            "gives the roles this port and those that follow it",
        ),
    ] = 0
    drain_s: Annotated[
        float,
        Field(
            ge=0,
            description="seconds that an API serves on after SIGTERM while `/readyz` says 503: longer than a load "
            "balancer takes to notice; 0 to end at once",
        ),
    ] = 5.0
    drain_spread_s: Annotated[
        float, Field(ge=0, description="seconds over which a draining API spreads the ends of its WebSockets")
    ] = 3.0
    data_dir: Annotated[Path, Field(description="folder for temporary files of the workers")] = Path(".cache/hexhail")
    record_dir: Annotated[
        Path | None, Field(description="folder to record matching rounds in; without it they are not recorded")
    ] = None
    web_dir: Annotated[Path, Field(description="the built web pages: the live map and the replay")] = _built_pages()
    broker_security: Annotated[
        Protocol, Field(description="security protocol of the brokers: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    ] = "PLAINTEXT"
    broker_ca_file: Annotated[
        Path | None, Field(description="certificates (PEM) that brokers are checked against; default: the system's")
    ] = None
    broker_cert_file: Annotated[
        Path | None, Field(description="certificate (PEM) of this client, where brokers ask for one")
    ] = None
    broker_key_file: Annotated[Path | None, Field(description="key (PEM) of that certificate")] = None
    broker_sasl_mechanism: Annotated[
        Mechanism, Field(description="how clients sign in: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    ] = "SCRAM-SHA-512"
    broker_username: Annotated[str, Field(description="name to sign in with")] = ""
    broker_password: Annotated[SecretStr, Field(description="password to sign in with")] = SecretStr("")
    topic_partitions: Annotated[int, Field(ge=1, description="partitions of each Kafka topic")] = 4
    topic_replication: Annotated[
        PositiveInt | None,
        Field(description="brokers that hold each message; default: 3, or as many as there are; of new topics"),
    ] = None
    topic_min_insync: Annotated[
        PositiveInt | None,
        Field(
            description="brokers that must have a message before it is acknowledged (`min.insync.replicas`); default: "
            "all but one of its replicas, at least 1; of new topics"
        ),
    ] = None
    region_partitions: Annotated[
        dict[str, list[int]],
        Field(
            description='partitions of a region, its home first, its pings in all of them: {"metro": [0, 1, 2]}; '
            "default: one each, spread evenly in the order of the cities; the same for every process"
        ),
    ] = {}
    # 6 s is the least that Apache Kafka accepts by default; the embedded broker may have less.
    broker_session_timeout_s: Annotated[
        float, Field(gt=0, description="seconds without a heartbeat after which a consumer loses its partitions")
    ] = 6.0
    request_limit_scale: Annotated[
        float, Field(ge=0, description="every limit of a person's requests is multiplied by this; 0 for no limit")
    ] = 1.0
    token_secrets: Annotated[
        dict[str, SecretStr],
        Field(description='signing keys by id, the first one signs: {"k1": "…at least 32 bytes…"}'),
    ] = {}
    token_keys_file: Annotated[
        Path | None,
        Field(
            description="JWK Set of key pairs that sign and verify tokens (`hexhail keys new`), read again when it "
            "changes; tokens of `token_secrets` count as before"
        ),
    ] = None
    oidc_file: Annotated[
        Path | None,
        Field(description="TOML file of the OpenID Connect issuers whose ID tokens `POST /v1/sessions` exchanges"),
    ] = None
    keep_messages_days: Annotated[
        float,
        Field(
            ge=0,
            description="days after which the events of rides and other messages are deleted from SQL, once they were "
            "published; the newest 50,000 always stay; `hexhail export` has what is left; 0: never",
        ),
    ] = 90.0
    keep_answers_days: Annotated[
        float,
        Field(
            ge=0,
            description="days in which a repeated request with the same Idempotency-Key gets the first answer again; "
            "after that the answer is deleted and the key counts as new; 0: for ever",
        ),
    ] = 7.0
    keep_price_changes_days: Annotated[
        float,
        Field(
            ge=0,
            description="days after which changes of surge prices are deleted from the record that operators and "
            "auditors read; 0: never",
        ),
    ] = 365.0
    keep_places_days: Annotated[
        float,
        Field(
            ge=0,
            description="days after the end of a ride after which SQL keeps only the surge cells of its pickup and "
            "dropoff, not the places; not before its events are published, nor before rounds of its time are deleted "
            "(`keep_rounds_days`, where `record_dir` is set); 0: the places stay for ever",
        ),
    ] = 90.0
    keep_rounds_days: Annotated[
        float,
        Field(
            ge=0,
            description="days for which the rounds in `record_dir` are kept, by the wall clock; the file that is being "
            "written is never deleted; 0: for ever",
        ),
    ] = 30.0
    keep_rounds_bytes: Annotated[
        float,
        Field(
            ge=0,
            description="bytes that the rounds in `record_dir` may take: beyond that the oldest files are deleted, "
            "also before `keep_rounds_days`; 0: no limit",
        ),
    ] = 10e9
    clock_speed: Annotated[float, Field(gt=0, description="city seconds per wall second")] = 1.0
    clock_city_s: Annotated[float, Field(description="city time (Unix seconds) at `clock_wall_s`")] = 0.0
    clock_wall_s: Annotated[float, Field(description="wall clock (Unix seconds) at which the city clock is set")] = 0.0

    @property
    def internal_port_or_default(self) -> int:
        """Port of the operators' routes; 0 for any free one."""
        if self.internal_port is not None:
            return self.internal_port
        return self.api_port + INTERNAL_PORT_ABOVE if self.api_port else 0

    @property
    def city_folders(self) -> list[Path]:
        """The folders of all cities that share the stores; ingester, matcher and pricer serve all of them."""
        return [Path(name) for name in self.city_dirs.split(os.pathsep) if name] or [self.city_dir]

    def key_ring(self) -> KeyRing:
        """The keys that sign tokens and quotes. Raises ValueError if there is none, or one is too short."""
        if not self.token_secrets:
            raise ValueError("no signing key: set HEXHAIL_TOKEN_SECRETS to a JSON object of key id to key")
        return KeyRing({key_id: key.get_secret_value() for key_id, key in self.token_secrets.items()})

    def copies(self) -> Copies:
        """How often new topics are kept. Raises ValueError if more replicas must be in sync than there are."""
        return Copies(self.topic_replication, self.topic_min_insync)

    def security(self) -> Security:
        """How clients reach the brokers. Raises ValueError for settings that do not fit each other."""
        return Security(
            self.broker_security,
            self.broker_ca_file,
            self.broker_cert_file,
            self.broker_key_file,
            self.broker_sasl_mechanism,
            self.broker_username,
            self.broker_password.get_secret_value(),
        )

    def clock(self) -> CityClock:
        """The clock of the installation."""
        return CityClock(self.clock_speed, self.clock_city_s, self.clock_wall_s)
