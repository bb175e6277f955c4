"""How many frames and bytes a stream and a person may send: token buckets. Pure: the time is an argument."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from api.auth.tokens import Principal, Role


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What may be sent at once after a silence, and steadily. Every frame counts: data, fragments, pings and pongs."""

    frames_burst: float
    frames_per_s: float
    bytes_burst: float
    bytes_per_s: float

    def __post_init__(self) -> None:
        for name in ("frames_burst", "frames_per_s", "bytes_burst", "bytes_per_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name} must be a positive number, not {value}")


#: A driver's phone sends one frame each 4 s, and at most 4 a second in a city whose clock runs fast. A phone that was
#: offline sends at most two frames of 2,000 kept pings at once. A burst costs the server about 10 ms.
SOCKET_LIMITS = FrameLimits(frames_burst=200, frames_per_s=20, bytes_burst=1024 * 1024, bytes_per_s=64 * 1024)
#: Of all streams of a person at one API process, also those that are closed: connecting again brings no new budget.
#: Operators share a token among those who watch the map.
PERSON_LIMITS: Mapping[Role, FrameLimits] = {
    Role.RIDER: FrameLimits(400, 40, 2 * 1024 * 1024, 128 * 1024),
    Role.DRIVER: FrameLimits(400, 40, 2 * 1024 * 1024, 128 * 1024),
    Role.OPERATOR: FrameLimits(4_000, 400, 2 * 1024 * 1024, 128 * 1024),
}
#: Frames that opening a stream counts as: a handshake costs the server about as much.
OPENING_FRAMES = 10
#: Budgets of people that are kept before those that are full again are forgotten.
PEOPLE_KEPT = 1024


class TokenBucket:
    """An allowance that refills steadily up to a burst."""

    __slots__ = ("_burst", "_left", "_per_s", "_since_s")

    def __init__(self, burst: float, per_s: float, now_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = burst
        self._since_s = now_s

    def take(self, amount: float, now_s: float) -> bool:
        """Take the amount if there is so much; return whether it was taken."""
        self._refill(now_s)
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def is_full(self, now_s: float) -> bool:
        """Return whether nothing of it is used."""
        self._refill(now_s)
        return self._left >= self._burst

    def _refill(self, now_s: float) -> None:
        elapsed_s = max(0.0, now_s - self._since_s)
        self._left = min(self._burst, self._left + elapsed_s * self._per_s)
        self._since_s = max(now_s, self._since_s)


class FrameBudget:
    """What one stream may still send, or one person; a stream's is also taken from its person's, once it is known."""

    __slots__ = ("_bytes", "_frames", "_person")

    def __init__(self, limits: FrameLimits, now_s: float) -> None:
        self._frames = TokenBucket(limits.frames_burst, limits.frames_per_s, now_s)
        self._bytes = TokenBucket(limits.bytes_burst, limits.bytes_per_s, now_s)
        self._person: FrameBudget | None = None

    def share(self, person: FrameBudget) -> None:
        """Take from this person's budget too from now on."""
        self._person = person

    def take_frames(self, count: int, now_s: float) -> bool:
        """Take frames; return False if there are not so many left."""
        return self._frames.take(count, now_s) and (self._person is None or self._person.take_frames(count, now_s))

    def take_bytes(self, count: int, now_s: float) -> bool:
        """Take bytes; return False if there are not so many left."""
        return self._bytes.take(count, now_s) and (self._person is None or self._person.take_bytes(count, now_s))

    def is_full(self, now_s: float) -> bool:
        """Return whether nothing of it is used."""
        return self._frames.is_full(now_s) and self._bytes.is_full(now_s)


class PersonBudgets:
    """The budgets of the people who have, or had a moment ago, streams at this process."""

    def __init__(self, limits: Mapping[Role, FrameLimits] = PERSON_LIMITS) -> None:
        self._limits = limits
        self._of: dict[Principal, FrameBudget] = {}
        self._forget_at = PEOPLE_KEPT

    def __len__(self) -> int:
        return len(self._of)

    def open_stream(self, principal: Principal, now_s: float) -> FrameBudget | None:
        """Return the person's budget, to be shared by a new stream; None if it does not allow another one now."""
        if len(self._of) >= self._forget_at:
            self._of = {one: budget for one, budget in self._of.items() if not budget.is_full(now_s)}
            self._forget_at = max(PEOPLE_KEPT, 2 * len(self._of))
        budget = self._of.get(principal)
        if budget is None:
            budget = self._of[principal] = FrameBudget(self._limits[principal.role], now_s)
        return budget if budget.take_frames(OPENING_FRAMES, now_s) else None
