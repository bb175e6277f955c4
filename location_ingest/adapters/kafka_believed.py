"""The believed pings of regions, for a service that listens beside the ingester."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from backing.kafka_security import PLAINTEXT, Security
from backing.ownership import KafkaOwnership
from location_ingest.adapters.ping_codec import decode_columns
from location_ingest.column_engine import ColumnEngine
from location_ingest.columns import PingColumns
from location_ingest.errors import UndecodableMessage
from location_ingest.model import IngestParams

log = structlog.get_logger(__name__)

#: Messages of one read at most: half a million pings, a second's work.
MESSAGES_MAX = 500


class BelievedPings:
    """Reads the pings of the regions that this process owns, and judges them by the rules of the ingester.

    All partitions of a region's pings are read by its owner. Nothing is committed: a new owner begins with the newest
    pings, for old ones say nothing about the traffic of now.
    """

    def __init__(
        self,
        bootstrap_servers: Sequence[str],
        ownership: KafkaOwnership,
        topic: str,
        partitions_of: Callable[[str], Sequence[int]],
        region_ids: Sequence[str],
        params: IngestParams,
        security: Security = PLAINTEXT,
    ) -> None:
        self._ownership = ownership
        self._topic = topic
        self._partitions_of = partitions_of
        self._region_ids = region_ids
        self._params = params
        self._engine = ColumnEngine(params)
        self._owned: set[str] = set()
        #: That of the ownership when the regions were last looked at.
        self._seen_term = -1
        #: Grows with each assignment: who owned a region before and after one may have missed pings in between.
        self.term = 0
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(bootstrap_servers),
            **security.client_options(),
            auto_offset_reset="latest",
            enable_auto_commit=False,
        )

    async def start(self) -> None:
        """Reach the brokers. Raises KafkaError or OSError where none answers."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Read no more."""
        self._owned.clear()
        await self._consumer.stop()

    def owns(self, region_id: str) -> bool:
        """Whether the region is this process's, as of the last read."""
        return region_id in self._owned

    async def read(self, now_s: float, wait_s: float) -> list[PingColumns]:
        """Return the believed pings that came since the last call, waiting up to ``wait_s`` wall seconds for one.

        Raises RestartNeeded if this process can own nothing any more.
        """
        await self._follow_ownership()
        if not self._owned:
            await asyncio.sleep(wait_s)
            return []
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

    async def _follow_ownership(self) -> None:
        """Read the pings of what is owned now, from their end; the tracks of drivers are judged anew."""
        owned = {region_id for region_id in self._region_ids if await self._ownership.owns(region_id)}
        if owned == self._owned and self._ownership.term == self._seen_term:
            return
        self._owned, self._seen_term = owned, self._ownership.term
        self._engine = ColumnEngine(self._params)
        self.term += 1
        numbers = {number for region_id in owned for number in self._partitions_of(region_id)}
        self._consumer.assign([TopicPartition(self._topic, number) for number in sorted(numbers)])
        log.info("pings_assigned", regions=sorted(owned), partitions=sorted(numbers))
