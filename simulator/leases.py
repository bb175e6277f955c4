"""Leases on drivers in memory, as Redis keeps them for the live service: one driver, one ride, a growing token."""

from __future__ import annotations


class Leases:
    """Who is held for which ride, until when."""

    def __init__(self, life_s: float) -> None:
        self._life_s = life_s
        self._token = 0
        self._held: dict[str, tuple[str, float]] = {}

    def take(self, driver_id: str, ride_id: str, now_s: float) -> int | None:
        """Hold a driver for a ride; returns the fencing token, or None if another ride holds the driver."""
        held = self._held.get(driver_id)
        if held is not None and held[1] > now_s and held[0] != ride_id:
            return None
        self._token += 1
        self._held[driver_id] = (ride_id, now_s + self._life_s)
        return self._token

    def release(self, driver_id: str, ride_id: str) -> None:
        """Let a driver go; nothing happens if another ride holds them by now."""
        held = self._held.get(driver_id)
        if held is not None and held[0] == ride_id:
            del self._held[driver_id]
