"""Phones that send numbered pings through a gateway, a recorder of the store's writes, and the final count."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from redis.asyncio import Redis

from geo.arrays import FloatArray, IntArray
from kernel.contracts import redis_keys
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.errors import PingLogUnavailable, PingsRefused
from location_ingest.model import NOT_NEWER, DriverPing, Refusal
from location_ingest.rules import to_ms
from location_ingest.service import PingGateway

#: As a phone in a hurry; each step is a numbered ping of every driver on shift.
TICK_S = 0.1
#: A position this old in the store is late: far above the 0.25 s of a worker that is well.
LATE_S = 1.0


def numbered_ping(driver_id: str, t_s: float, number: int) -> DriverPing:
    """The number can be read from the place: north by 1 m each, as at 10 m/s."""
    return DriverPing(driver_id, t_s, 40.0 + 1e-5 * number, -73.98, 0.0, 10.0, 5.0)


def everywhere(lat_deg: FloatArray, _: FloatArray) -> IntArray:
    """The one region holds all of the world."""
    return np.zeros(len(lat_deg), np.int64)


@dataclass
class Phones:
    """The drivers of a region. One after the other goes home while it runs, so that any ping may be someone's last."""

    gateway: PingGateway
    region_id: str
    drivers: int
    shifts_end_s: float
    #: The times of the pings of each driver that were answered as taken, in order.
    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    last: dict[str, DriverPing] = field(default_factory=dict)
    put_off: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Ping each tick; what was not taken is sent again until it is."""
        began_s = time.time()
        number = 0
        while not stop.is_set():
            now_s = time.time()
            share_gone = min((now_s - began_s) / self.shifts_end_s, 1.0)
            # A fifth stays to the end: they show when the street is well again.
            gone = int(share_gone * 0.8 * self.drivers)
            batch = [numbered_ping(f"{self.region_id}-{driver}", now_s, number) for driver in range(gone, self.drivers)]
            await self._deliver(batch)
            number += 1
            # Not in a burst after a pause: two pings of one millisecond are one to the edge.
            await asyncio.sleep(max(0.02, began_s + number * TICK_S - time.time()))

    async def _deliver(self, batch: list[DriverPing]) -> None:
        tries = 0
        while batch:
            tries += 1
            try:
                submitted = await self.gateway.submit(batch, time.time())
            except PingLogUnavailable:
                self.put_off += len(batch)
                await asyncio.sleep(0.1)
            except PingsRefused as refused:
                self._expect_known(refused.refusals, tries)
                self._note(batch)
                return
            else:
                self._expect_known(submitted.refusals, tries)
                self._note(batch)
                return

    def _expect_known(self, refusals: Sequence[Refusal], tries: int) -> None:
        # An earlier try was stored although its answer was lost; any other refusal is a mistake.
        if refusals and (tries == 1 or not {refusal.reason for refusal in refusals} <= NOT_NEWER):
            raise AssertionError(f"refused: {refusals}")

    def _note(self, pings: Sequence[DriverPing]) -> None:
        for ping in pings:
            self.taken[ping.driver_id].append(ping.t_s)
            self.last[ping.driver_id] = ping


_STORED = re.compile(rb'"HSET" "\{(\w+)\}:index" (.*)')


class Witness:
    """Reads every command that the store carries out, and holds the order of positions against it.

    `older_over_newer` counts positions that took the place of a newer one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._newest_ms: dict[str, int] = {}
        self.older_over_newer = 0
        self.commands = 0
        #: Of each region: when a position came that was not late, wall seconds.
        self.fresh_s: dict[str, list[float]] = defaultdict(list)

    async def watch(self) -> None:
        """Watch until cancelled; a store that dies is waited for."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
                try:
                    writer.write(b"MONITOR\r\n")
                    while line := await reader.readline():
                        self._read(line)
                finally:
                    writer.close()
            await asyncio.sleep(0.02)

    def forget(self) -> None:
        """The store has lost its data: what comes now is newer than nothing."""
        self._newest_ms.clear()

    def late_until_s(self, since_s: float) -> float:
        """Return when the last stretch without fresh positions ended that lay behind `since_s`; `since_s` if none."""
        until_s = since_s
        for times_s in self.fresh_s.values():
            for before_s, after_s in pairwise(times_s):
                if after_s - before_s > LATE_S and after_s > since_s:
                    until_s = max(until_s, after_s)
        return until_s

    def _read(self, line: bytes) -> None:
        found = _STORED.search(line)
        if found is None:
            return
        self.commands += 1
        words = [word.strip(b'"').decode() for word in found[2].split()]
        newest_s = 0.0
        for driver_id, entry in zip(words[::2], words[1::2], strict=True):
            t_ms = int(entry.rpartition("|")[2])
            self.older_over_newer += t_ms < self._newest_ms.get(driver_id, 0)
            self._newest_ms[driver_id] = t_ms
            newest_s = max(newest_s, t_ms / 1e3)
        now_s = time.time()
        if now_s - newest_s < LATE_S:
            self.fresh_s[found[1].decode()].append(now_s)


@dataclass(frozen=True)
class Count:
    """Of all regions: pings taken by the edge, pings the store counted, and those taken that had no effect."""

    taken: int
    counted: int
    lost: int
    misplaced: int


async def count(redis: Redis, streets: Sequence[Phones], acked_after_s: float = 0.0) -> Count:
    """Compare what was taken with what is stored; drivers whose last ping is from before `acked_after_s` are left out.

    A ping is lost if the store holds an older position of its driver, or none: whatever came later repairs nothing
    for a driver who sent nothing later.
    """
    taken = counted = lost = misplaced = 0
    cells = RedisCells(redis)
    for phones in streets:
        taken += sum(map(len, phones.taken.values()))
        counted += int(await redis.hget(redis_keys.totals(phones.region_id), redis_keys.PINGS_ACCEPTED) or 0)
        stored_s = await cells.last_times_s(phones.region_id, sorted(phones.taken))
        for driver_id, times_s in sorted(phones.taken.items()):
            if times_s[-1] >= acked_after_s:
                held_ms = to_ms(stored_s.get(driver_id, 0.0))
                lost += sum(to_ms(t_s) > held_ms for t_s in times_s)
                misplaced += held_ms > to_ms(times_s[-1])
    return Count(taken, counted, lost, misplaced)
