"""Short words for the people and commands that the tests speak of."""

from __future__ import annotations

from dispatch import commands as cmd
from dispatch.engine import DispatchEngine
from dispatch.model import DispatchParams, Party, Place

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


def engine_after(*commands: cmd.RideCommand) -> DispatchEngine:
    """An engine that has carried these out, one a second from 0."""
    engine = DispatchEngine(PARAMS)
    for now_s, command in enumerate(commands):
        engine.handle(command, float(now_s))
    return engine
