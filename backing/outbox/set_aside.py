"""What the relay sets aside so that one message that cannot be delivered stops no other."""

from __future__ import annotations

from typing import Any

import structlog

from backing.outbox.rows import OutboxRow

log = structlog.get_logger(__name__)


class SetAside:
    """Names in the log, and counts, what could not be delivered; the messages themselves stay in SQL."""

    def __init__(self, counter: Any = None) -> None:
        """``counter`` is a Prometheus counter with the label receiver (topic or inbox), None to log alone."""
        self._counter = counter

    def row(self, row: OutboxRow, reason: str) -> None:
        """Set a message aside that no topic takes."""
        log.error(
            "message_set_aside",
            stream=row.stream,
            key=row.key,
            sequence=row.sequence,
            position=row.position,
            region_id=row.region_id,
            reason=reason,
        )
        self._count("topic", 1)

    def inbox(self, name: str, messages: int, reason: str) -> None:
        """Set messages to one inbox aside."""
        log.error("inbox_set_aside", inbox=name, messages=messages, reason=reason)
        self._count("inbox", messages)

    def _count(self, receiver: str, messages: int) -> None:
        if self._counter is not None:
            self._counter.labels(receiver).inc(messages)
