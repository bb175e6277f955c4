"""Counts the faults of a matching policy during a day, and keeps the first messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: Messages kept; a faulty policy may repeat the same one in every round.
SENTENCES_KEPT = 20


@dataclass
class PolicyFaults:
    """Counts of faulty decisions, each of which was dropped from its round."""

    count: int = 0
    #: Rounds with at least one fault.
    rounds: int = 0
    first: list[str] = field(default_factory=list)

    def note(self, faults: Sequence[str], now_s: float) -> None:
        """Count the faults of one round."""
        if not faults:
            return
        self.count += len(faults)
        self.rounds += 1
        room = SENTENCES_KEPT - len(self.first)
        self.first += [f"at {now_s:.0f} s: {sentence}" for sentence in faults[:room]]

    def as_dict(self) -> dict[str, Any]:
        """The counts as they appear in a run's summary."""
        return {"count": self.count, "rounds": self.rounds, "first": self.first}
