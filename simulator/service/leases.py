"""In-memory leases with the semantics of the Redis functions: a driver and a ride, a fencing token, an expiry."""

from __future__ import annotations


class FenceLost(Exception):
    """The store has lost its data: it grants no lease until `restore` sets the newest token."""


class Leases:
    """Leases of drivers and rides; behaves as `leases.lua`, with times in whole milliseconds as there."""

    def __init__(self, life_s: float) -> None:
        self._life_s = life_s
        self._fence: int | None = 0
        self._held: dict[str, tuple[int, int]] = {}

    def take(self, driver_id: str, ride_id: str, now_s: float) -> int | None:
        """Lease a driver and a ride together; returns the fencing token, None if either is leased. Raises FenceLost."""
        if self._fence is None:
            raise FenceLost
        names = _names(driver_id, ride_id)
        if any(self._is_held(name, round(now_s * 1e3)) for name in names):
            return None
        self._fence += 1
        for name in names:
            self._held[name] = self._fence, round((now_s + self._life_s) * 1e3)
        return self._fence

    def release(self, driver_id: str, ride_id: str, token: int) -> None:
        """Release both, each only if the token still holds it."""
        for name in _names(driver_id, ride_id):
            if name in self._held and self._held[name][0] == token:
                del self._held[name]

    def restore(self, newest_token: int) -> None:
        """Make sure that the next token is greater than this one; the fence never moves back."""
        self._fence = newest_token if self._fence is None else max(self._fence, newest_token)

    def lose(self) -> None:
        """Forget everything, like a server that restarts without its data."""
        self._fence = None
        self._held.clear()

    def _is_held(self, name: str, now_ms: int) -> bool:
        return name in self._held and self._held[name][1] > now_ms


def _names(driver_id: str, ride_id: str) -> tuple[str, str]:
    return f"driver:{driver_id}", f"ride:{ride_id}"
