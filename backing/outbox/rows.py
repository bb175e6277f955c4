"""What is in the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class NewRow:
    """A message that is written in the transaction of the change it tells of."""

    #: One of `kernel.contracts.topics.STREAM_TOPICS`.
    stream: str
    #: What the message is about, within the stream: a ride's id, for example.
    key: str
    #: Counts the messages of the key: readers of the topic know a repeated message by it. Whoever gives it must hold a
    #: lock on what the key stands for, so that the next number is not committed before this one.
    sequence: int
    #: Partitions the topic.
    region_id: str
    #: Names `<role>:<id>` of the inboxes that it goes to, without blanks.
    inboxes: tuple[str, ...]
    #: A JSON object.
    payload: str


@dataclass(frozen=True, slots=True)
class OutboxRow(NewRow):
    """A committed message; ``position`` orders those of all streams without gaps."""

    position: int


class KeptMessage(NamedTuple):
    """A message that is still in SQL."""

    sequence: int
    payload: str
    is_published: bool
