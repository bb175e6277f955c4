"""What riders and drivers saw: each process keeps a journal, and one reads the journals of all.

Times are wall seconds since 1970, for a rider and the driver who is asked may be in two processes; on two machines the
clocks have to agree.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Journal:
    """What the people of one process did since the journal was last taken."""

    #: When each ride was requested, and when the first driver heard of it.
    sent_s: dict[str, float] = field(default_factory=dict)
    offered_s: dict[str, float] = field(default_factory=dict)
    #: Rides that ended for their riders, by state.
    ended: Counter[str] = field(default_factory=Counter)
    pings: int = 0
    #: Now: drivers with a stream, those of them whom nobody has asked, riders, and those of them without a car.
    connected: int = 0
    idle: int = 0
    riders: int = 0
    waiting: int = 0

    def offered(self, ride_id: str, at_s: float) -> None:
        """Note that a driver hears of a ride."""
        self.offered_s.setdefault(ride_id, at_s)

    def take(self) -> dict[str, Any]:
        """Return all as plain values and begin a new page."""
        page = {
            "sent_s": self.sent_s,
            "offered_s": self.offered_s,
            "ended": dict(self.ended),
            "pings": self.pings,
            "connected": self.connected,
            "idle": self.idle,
            "riders": self.riders,
            "waiting": self.waiting,
        }
        self.sent_s, self.offered_s, self.ended, self.pings = {}, {}, Counter(), 0
        return page


@dataclass
class Ledger:
    """The journals of all processes together."""

    sent_s: dict[str, float] = field(default_factory=dict)
    offered_s: dict[str, float] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    pings: int = 0
    #: The newest page of each process.
    _newest: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def connected(self) -> int:
        """Drivers with a stream."""
        return self._now("connected")

    @property
    def idle(self) -> int:
        """Drivers with a stream whom nobody has asked and who carry nobody."""
        return self._now("idle")

    @property
    def waiting(self) -> int:
        """Riders without a car."""
        return self._now("waiting")

    @property
    def people(self) -> int:
        """Everybody who has not gone home."""
        return self.connected + self._now("riders")

    def _now(self, name: str) -> int:
        return sum(page[name] for page in self._newest.values())

    def add(self, process: str, page: dict[str, Any]) -> list[float]:
        """Add a process's page; return the seconds from request to offer of rides of which both are known now."""
        new: list[str] = []
        for ride_id, at_s in page["sent_s"].items():
            self.sent_s[ride_id] = at_s
            if ride_id in self.offered_s:
                new.append(ride_id)
        for ride_id, at_s in page["offered_s"].items():
            first = ride_id not in self.offered_s
            self.offered_s[ride_id] = min(at_s, self.offered_s.get(ride_id, at_s))
            if first and ride_id in self.sent_s:
                new.append(ride_id)
        self.ended.update(page["ended"])
        self.pings += page["pings"]
        self._newest[process] = page
        return [self.offered_s[ride_id] - self.sent_s[ride_id] for ride_id in new]

    def waits_s(self, begin_s: float, end_s: float, now_s: float) -> tuple[list[float], int]:
        """Return the seconds to the first offer of rides requested in [begin, end), and how many have had one.

        A ride without an offer counts with its wait so far: left out, it would make a slow city look quick.
        """
        asked = [(ride_id, at_s) for ride_id, at_s in self.sent_s.items() if begin_s <= at_s < end_s]
        waits_s = [self.offered_s.get(ride_id, now_s) - at_s for ride_id, at_s in asked]
        return waits_s, sum(ride_id in self.offered_s for ride_id, _ in asked)
