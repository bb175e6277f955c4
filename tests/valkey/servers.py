"""Valkey servers for the tests: nodes of a cluster with replicas, and a primary with a replica under sentinels."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from hexhail.runtime import embedded
from tests.patience import PATIENCE_S

SLOTS = 16_384
#: Milliseconds after which a node, or the primary under sentinels, counts as away.
AWAY_AFTER_MS = 2_000
SERVICE = "city"
CLUSTER_OPTIONS = (
    *("--cluster-enabled", "yes", "--cluster-node-timeout", str(AWAY_AFTER_MS)),
    *("--cluster-replica-validity-factor", "0", "--cluster-require-full-coverage", "no"),
)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until it holds; servers that do not answer yet count as no."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        with suppress(RedisError, OSError):
            if condition():
                return
        assert time.monotonic() < deadline_s, f"{what} within {PATIENCE_S:.0f} s"
        time.sleep(0.05)


@dataclass
class ValkeyNode:
    """One server in a folder, on a port of 127.0.0.1."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port = self.port or embedded.free_port()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [*embedded.valkey_command(self.port, self.folder), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, f"Valkey answers on port {self.port}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "Valkey ended at its start"
        return bool(self.ask("PING"))

    def ask(self, *command: Any) -> Any:
        """The answer to one command."""
        with Redis(port=self.port, socket_timeout=PATIENCE_S, decode_responses=True, protocol=2) as client:
            return client.execute_command(*command)

    def leave_replicas_behind(self) -> None:
        """Take writes that no replica hears of any more, as before a crash that comes too early for them."""
        self.ask("ACL", "SETUSER", "default", "-psync", "-sync")
        self.ask("CLIENT", "KILL", "TYPE", "replica")

    def kill(self) -> None:
        """As `kill -9`; one that is gone already is no error."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)


@dataclass
class ValkeyCluster:
    """Primaries that share the slots evenly, and a replica of each where asked."""

    folder: Path
    primaries: list[ValkeyNode] = field(default_factory=list)
    replicas: list[ValkeyNode] = field(default_factory=list)
    _bus_port_of: dict[int, int] = field(default_factory=dict)

    @property
    def nodes(self) -> list[ValkeyNode]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(node.host for node in self.primaries)}"

    def start(self, *, has_replicas: bool) -> None:
        self.primaries = [self._node() for _ in range(3)]
        self.replicas = [self._node() for _ in range(3)] if has_replicas else []
        bounds = [SLOTS * n // 3 for n in range(4)]
        for node, first, end in zip(self.primaries, bounds, bounds[1:], strict=False):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for node in self.nodes[1:]:
            self.meet(node)
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            self._attach(replica, primary)
        wait_until(lambda: all(self._is_whole(node) for node in self.nodes), "the cluster is one")

    def add_node(self) -> ValkeyNode:
        """A primary more, without slots."""
        node = self._node()
        self.meet(node)
        self.primaries.append(node)
        wait_until(lambda: all(self._is_whole(one) for one in self.nodes), "the node has joined")
        return node

    def move_slot(self, slot: int, to: ValkeyNode) -> None:
        """Give an empty slot to a primary."""
        node_id = to.ask("CLUSTER", "MYID")
        for node in [to, *(node for node in self.primaries if node is not to)]:
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", node_id)

    def meet(self, node: ValkeyNode) -> None:
        first = self.primaries[0]
        first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, self._bus_port_of[node.port])

    def primary_of(self, key: str) -> ValkeyNode:
        """The node that serves the key's slot now."""
        slot = self.primaries[0].ask("CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in self.primaries[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(f"nobody serves slot {slot}")

    def _attach(self, replica: ValkeyNode, primary: ValkeyNode) -> None:
        node_id = primary.ask("CLUSTER", "MYID")
        # Refused until the replica has heard of the primary.
        wait_until(lambda: replica.ask("CLUSTER", "REPLICATE", node_id), "the replica is attached")

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def _node(self) -> ValkeyNode:
        port, bus_port = embedded.free_ports(2)
        options = (*CLUSTER_OPTIONS, "--cluster-port", str(bus_port))
        node = ValkeyNode(self.folder / f"node{port}", options, port)
        self._bus_port_of[port] = bus_port
        node.start()
        return node

    def _is_whole(self, node: ValkeyNode) -> bool:
        """Whether the node knows all others, and has what its primary has if it is a replica."""
        info = dict(line.split(":") for line in node.ask("CLUSTER", "INFO").split())
        is_whole = info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(self.nodes)
        return is_whole and (node not in self.replicas or node.ask("ROLE")[3] == "connected")


@dataclass
class WatchedPair:
    """A primary and its replica, and three sentinels that promote the replica."""

    folder: Path
    primary: ValkeyNode = field(init=False)
    replica: ValkeyNode = field(init=False)
    sentinels: list[ValkeyNode] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(node.host for node in self.sentinels)}/{SERVICE}"

    def start(self) -> None:
        self.primary = ValkeyNode(self.folder / "primary")
        self.primary.start()
        self.replica = ValkeyNode(self.folder / "replica", ("--replicaof", "127.0.0.1", str(self.primary.port)))
        self.replica.start()
        wait_until(lambda: self.replica.ask("ROLE")[3] == "connected", "the replica has everything")
        self.sentinels = [self._sentinel(n) for n in range(3)]
        wait_until(self._know_each_other, "the sentinels know each other and the replica")

    def is_promoted(self) -> bool:
        """Whether the replica has become the primary."""
        return bool(self.replica.ask("ROLE")[0] == "master")

    def _know_each_other(self) -> bool:
        states = [node.ask("SENTINEL", "MASTER", SERVICE) for node in self.sentinels]
        found = [dict(zip(state[::2], state[1::2], strict=True)) for state in states]
        return all(one["num-other-sentinels"] == "2" and one["num-slaves"] == "1" for one in found)

    def _sentinel(self, number: int) -> ValkeyNode:
        folder = self.folder / f"sentinel{number}"
        folder.mkdir(parents=True)
        port = embedded.free_port()
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {AWAY_AFTER_MS}\nsentinel failover-timeout {SERVICE} 10000\n"
        )
        node = ValkeyNode(folder, port=port)
        binary = embedded.valkey_command(port, folder)[0]
        node.process = subprocess.Popen(
            [binary, str(config), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: node.ask("PING"), "the sentinel answers")
        return node

    def kill(self) -> None:
        for node in [*self.sentinels, self.replica, self.primary]:
            node.kill()
