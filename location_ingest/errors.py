"""The errors of ingestion.

IngestError
├── PingsRefused        no ping of the batch is good: 4xx, nothing was changed
├── PingLogUnavailable  the broker is away or too slow: 503 with Retry-After
└── UndecodableMessage  a message that is not a group of pings: dead letter
"""

from __future__ import annotations

from collections.abc import Sequence

from kernel.errors import HexhailError


class IngestError(HexhailError):
    """Base class of ingestion's errors."""


class PingsRefused(IngestError):
    """No ping of the batch is good. `refusals` holds (index in the batch, reason, field) of each, as `Refusal`."""

    def __init__(self, refusals: Sequence[tuple[int, str, str]]) -> None:
        at, reason, _ = refusals[0]
        super().__init__(f"{len(refusals)} of the pings refused, the first at index {at}: {reason}")
        self.refusals = tuple(refusals)


class PingLogUnavailable(IngestError):
    """The pings were not acknowledged by the broker in time; send them again after `retry_after_s` wall seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UndecodableMessage(IngestError):
    """The bytes are not a group of pings; the message says why."""
