"""Who owns which region: the partitions of a topic without messages, shared out by Kafka's own group protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import InconsistentGroupProtocolError
from aiokafka.structs import TopicPartition

from backing.kafka import require_coordination
from backing.kafka_security import PLAINTEXT, Security

log = structlog.get_logger(__name__)

#: Nothing is ever fetched: the broker may hold the question for long.
FETCH_WAIT_MS = 5_000


class KafkaOwnership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Ownership of regions by membership in a consumer group: who has a region's partition owns the region.

    Members share one table of partitions, or nobody knows what a partition stands for: the broker refuses a member with
    another ``table`` as long as one of the first is in the group. A change of the table opens no double owner.

    A member that is not heard of for `session_timeout_s` loses its partitions to the others. It learns that when it
    wakes: until then it may believe too much. What owners write must therefore be fenced, by tokens or an epoch.
    """

    def __init__(
        self,
        bootstrap_servers: Sequence[str],
        group: str,
        topic: str,
        partition_of: Callable[[str], int],
        session_timeout_s: float,
        security: Security = PLAINTEXT,
        table: str = "",
    ) -> None:
        self._topic = topic
        self._partition_of = partition_of
        self._owned: set[int] = set()
        #: Grows with each assignment: another may have owned a region between two of them.
        self.term = 0
        self._is_refused = False
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(bootstrap_servers),
            **security.client_options(),
            group_id=group,
            session_timeout_ms=round(session_timeout_s * 1e3),
            rebalance_timeout_ms=round(session_timeout_s * 1e3),
            # A third of the session, as Kafka advises: two may be lost.
            heartbeat_interval_ms=round(session_timeout_s * 1e3 / 3.0),
            fetch_max_wait_ms=FETCH_WAIT_MS,
            partition_assignment_strategy=(assignor_for(table),),
            enable_auto_commit=False,
        )

    async def start(self) -> None:
        """Join the group; partitions follow. Raises KafkaError or OSError where no broker answers."""
        await self._consumer.start()
        self._consumer.subscribe([self._topic], listener=self)

    async def stop(self) -> None:
        """Leave, so that another takes over at once."""
        self._owned.clear()
        await self._consumer.stop()

    async def owns(self, region_id: str) -> bool:
        """Whether the region is this process's. Raises RestartNeeded if this process can own nothing any more."""
        require_coordination(self._consumer)
        # Whoever never asks for messages is taken for hung.
        try:
            await self._consumer.getmany(timeout_ms=0)
        except InconsistentGroupProtocolError:  # aiokafka goes on trying to join
            if not self._is_refused:
                log.warning("owners_have_another_table", remedy="It is taken over when the last of them has ended.")
            self._is_refused = True
            return False
        return self._partition_of(region_id) in self._owned

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Before a rebalance: nothing is ours until it is over."""
        self._owned.clear()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """After a rebalance."""
        self._owned = {partition.partition for partition in assigned}
        self.term += 1
        self._is_refused = False
        log.info("partitions_assigned", partitions=sorted(self._owned))


def assignor_for(table: str) -> Any:
    """Return the assignor of a table: members of a group must have one in common, by its name."""
    if not table:
        return RoundRobinPartitionAssignor

    class OfTable(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
        name = f"roundrobin-{hashlib.sha256(table.encode()).hexdigest()[:12]}"

    return OfTable
