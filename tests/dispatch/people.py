"""Short words for the people and commands that the tests speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dispatch import commands as cmd
from dispatch.adapters.event_codec import decode
from dispatch.engine import DispatchEngine
from dispatch.events import RideEvent
from dispatch.model import DispatchParams, Party, ShiftStatus
from dispatch.service.rides import RideService
from geo.roads.graph import RoadGraph
from kernel.idempotency import IdempotencyKey
from kernel.points import Place

PARAMS = DispatchParams(offer_ttl_s=15.0, max_wait_s=600.0)
HERE = Place(40.75, -73.99, 1)
THERE = Place(40.78, -73.96, 2)


def request(ride_id: str = "ride", rider_id: str = "alice", quote_id: str | None = None) -> cmd.RequestRide:
    return cmd.RequestRide(ride_id, "manhattan", rider_id, quote_id or f"quote-{ride_id}", HERE, THERE, 1, 1250, "USD")


def offer(ride_id: str = "ride", driver_id: str = "dora", token: int = 1) -> cmd.SendOffer:
    return cmd.SendOffer(ride_id, driver_id, token, 120.0)


def accept(offer_id: str = "ride-1", driver_id: str = "dora") -> cmd.AcceptOffer:
    return cmd.AcceptOffer(offer_id, driver_id)


def decline(offer_id: str = "ride-1", driver_id: str = "dora") -> cmd.DeclineOffer:
    return cmd.DeclineOffer(offer_id, driver_id)


def rider_cancels(ride_id: str = "ride", rider_id: str = "alice") -> cmd.CancelRide:
    return cmd.CancelRide(ride_id, Party.RIDER, rider_id)


def driver_cancels(ride_id: str = "ride", driver_id: str = "dora") -> cmd.CancelRide:
    return cmd.CancelRide(ride_id, Party.DRIVER, driver_id)


def arrive(ride_id: str = "ride", driver_id: str = "dora") -> cmd.ReportArrival:
    return cmd.ReportArrival(ride_id, driver_id)


def pick_up(ride_id: str = "ride", driver_id: str = "dora") -> cmd.ReportPickup:
    return cmd.ReportPickup(ride_id, driver_id)


def drop_off(ride_id: str = "ride", driver_id: str = "dora") -> cmd.ReportDropoff:
    return cmd.ReportDropoff(ride_id, driver_id)


def rate(ride_id: str = "ride", rider_id: str = "alice", stars: int = 5) -> cmd.RateRide:
    return cmd.RateRide(ride_id, rider_id, stars)


def engine_after(*commands: cmd.RideCommand) -> DispatchEngine:
    """An engine that has carried these out, one a second from 0."""
    engine = DispatchEngine(PARAMS)
    for now_s, command in enumerate(commands):
        engine.handle(command, float(now_s))
    return engine


def key(name: str = "key", body: str = "body", principal: str = "rider:alice") -> IdempotencyKey:
    return IdempotencyKey(principal, name, body)


async def on_shift(rides: RideService, *driver_ids: str, seats: int = 4) -> None:
    for driver_id in driver_ids:
        await rides.set_shift(cmd.SetShift(driver_id, ShiftStatus.ONLINE, seats))


async def off_shift(rides: RideService, driver_id: str) -> None:
    await rides.set_shift(cmd.SetShift(driver_id, ShiftStatus.OFFLINE, 4))


async def do(rides: RideService, *commands: cmd.RideCommand) -> None:
    """Carry these out one after the other, with all drivers that are asked on shift."""
    for command in commands:
        if isinstance(command, cmd.SendOffer):
            await on_shift(rides, command.driver_id)
        await rides.handle(command)


async def history(store: Any) -> list[RideEvent]:
    return [decode(payload) for payload in await store.history()]


class Clock:
    """City time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class MemoryLeases:
    """`Leases` in a dictionary, with the words of `leases.lua` in Python."""

    def __init__(self) -> None:
        self.fence = 0
        self.held: dict[str, tuple[int, float]] = {}

    async def take(self, pairs: Sequence[tuple[str, str]], now_s: float, ttl_s: float) -> list[int | None]:
        return [self._take(f"driver:{driver_id}", f"ride:{ride_id}", now_s, ttl_s) for driver_id, ride_id in pairs]

    def _take(self, driver: str, ride: str, now_s: float, ttl_s: float) -> int | None:
        if any(self.held[name][1] > now_s for name in (driver, ride) if name in self.held):
            return None
        self.fence += 1
        self.held[driver] = self.held[ride] = (self.fence, now_s + ttl_s)
        return self.fence

    async def release(self, driver_id: str, ride_id: str, token: int) -> None:
        for name in (f"driver:{driver_id}", f"ride:{ride_id}"):
            if name in self.held and self.held[name][0] == token:
                del self.held[name]

    async def restore(self, newest_token: int) -> None:
        self.fence = max(self.fence, newest_token)


def grid_city(rows: int, columns: int) -> RoadGraph:
    """Crossings in a grid, numbered row by row, with two-way streets of 10 s between neighbours."""
    node = np.arange(rows * columns).reshape(rows, columns)
    source = np.concatenate([node[:, :-1].ravel(), node[:-1].ravel()])
    target = np.concatenate([node[:, 1:].ravel(), node[1:].ravel()])
    row, column = np.divmod(node.ravel(), columns)
    one_way = source.size
    return RoadGraph.from_arrays(
        40.0 + row * 0.001,
        -74.0 + column * 0.001,
        np.concatenate([source, target]),
        np.concatenate([target, source]),
        np.full(2 * one_way, 100.0),
        np.full(2 * one_way, 10.0),
    )
