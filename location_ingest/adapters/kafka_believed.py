"""The believed pings of regions, for a service that listens beside the ingester."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.structs import TopicPartition

from backing.kafka import require_coordination
from location_ingest.adapters.ping_codec import decode_columns
from location_ingest.column_engine import ColumnEngine
from location_ingest.columns import PingColumns
from location_ingest.errors import UndecodableMessage
from location_ingest.model import IngestParams

log = structlog.get_logger(__name__)

#: Messages of one read at most: half a million pings, a second's work.
MESSAGES_MAX = 500


class BelievedPings(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Reads the topic of pings in a consumer group of its own, and judges the pings by the rules of the ingester.

    Who has a region's partition owns the region. Nothing is committed: a new owner begins with the newest pings, for
    old ones say nothing about the traffic of now.
    """

    def __init__(
        self,
        bootstrap_servers: Sequence[str],
        group: str,
        topic: str,
        partition_of: Callable[[str], int],
        params: IngestParams,
        session_timeout_s: float,
    ) -> None:
        self._topic = topic
        self._partition_of = partition_of
        self._params = params
        self._engine = ColumnEngine(params)
        self._owned: set[int] = set()
        #: Grows with each assignment: who owned a region before and after one may have missed pings in between.
        self.term = 0
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(bootstrap_servers),
            group_id=group,
            session_timeout_ms=round(session_timeout_s * 1e3),
            rebalance_timeout_ms=round(session_timeout_s * 1e3),
            # A third of the session, as Kafka advises: two may be lost.
            heartbeat_interval_ms=round(session_timeout_s * 1e3 / 3.0),
            auto_offset_reset="latest",
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

    def owns(self, region_id: str) -> bool:
        """Whether the region's partition is assigned to this process."""
        return self._partition_of(region_id) in self._owned

    async def read(self, now_s: float, wait_s: float) -> list[PingColumns]:
        """Return the believed pings that came since the last call, waiting up to ``wait_s`` wall seconds for one.

        Raises RestartNeeded if this process can own nothing any more.
        """
        require_coordination(self._consumer)
        found: dict[Any, list[Any]] = await self._consumer.getmany(
            timeout_ms=round(wait_s * 1e3), max_records=MESSAGES_MAX
        )
        groups: dict[str, list[PingColumns]] = {}
        for messages in found.values():
            for message in messages:
                try:
                    group = decode_columns(message.value or b"")
                except UndecodableMessage:  # the ingester buries it
                    continue
                if self.owns(group.region_id):
                    groups.setdefault(group.region_id, []).append(group)
        return [self._believed(groups[region_id], now_s) for region_id in sorted(groups)]

    def _believed(self, groups: list[PingColumns], now_s: float) -> PingColumns:
        verdicts = self._engine.handle(groups, now_s)
        rows = np.flatnonzero(verdicts.verdict == 0)
        driver_ids = [verdicts.driver_ids[row] for row in rows.tolist()]
        return PingColumns(verdicts.region_id, now_s, driver_ids, verdicts.values[rows])

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Before a rebalance: nothing is ours until it is over."""
        self._owned.clear()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """After a rebalance: tracks are judged anew."""
        self._owned = {partition.partition for partition in assigned}
        self._engine = ColumnEngine(self._params)
        self.term += 1
        log.info("partitions_assigned", partitions=sorted(self._owned))
