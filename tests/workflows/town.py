"""A street with everything that the workflows need: real services over a real database, a tariff archive in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import numpy as np
from prometheus_client import CollectorRegistry

from dispatch import commands as cmd
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.metrics import EndingMetrics
from dispatch.model import Party, Ride
from dispatch.ports import Positions
from dispatch.service.named_driver import pickup_eta_of
from dispatch.service.rides import RideService
from dispatch.service.supply import free_supply
from geo.city import Region
from geo.places import Places, map_id_of
from kernel.idempotency import IdempotencyKey
from kernel.keyring import KeyRing
from kernel.points import Place, Point
from pricing.adapters.signed_quotes import QuoteSigner
from pricing.model.surge import SurgePrice
from pricing.model.tariff import AtDropoff, NoShow, Tariff
from pricing.service.fares import FareService
from pricing.service.quotes import QuoteService
from tests.dispatch.people import PARAMS, Clock, MemoryLeases, accept, arrive, grid_city, offer, on_shift
from tests.pricing.tariffs import TAXI
from workflows.earnings import EarningsWorkflow
from workflows.end_ride import EndRideWorkflow, OverdueRides
from workflows.finish_ride import FinishRideWorkflow
from workflows.intervene import InterveneWorkflow
from workflows.quote import QuoteWorkflow
from workflows.request_ride import RequestRideWorkflow

#: Waiting costs after two minutes, and a fare may be far above its quote.
TARIFF = replace(
    TAXI,
    at_dropoff=AtDropoff(waiting_free_s=120.0, waiting_per_minute_cents=60, above_quote_share_max=5.0),
    no_show=NoShow(wait_s=240.0, fee_cents=500),
)
REGION = Region("manhattan", "A street", "America/New_York", "USD", 9, 8, 150.0, "drawn for the tests")
#: 61 crossings in two rows, 100 m and 10 s apart.
GRAPH = grid_city(2, 61)


class ArchiveAway(Exception):
    """The archive does not answer."""


def crossing(node: int) -> Point:
    return Point(float(GRAPH.lat_deg[node]), float(GRAPH.lng_deg[node]))


PICKUP, DROPOFF, FARTHER = crossing(0), crossing(40), crossing(60)


async def nothing_happens() -> None:
    pass


@dataclass
class Archive:
    """Tariffs by version; something may happen while it is read."""

    tariffs: dict[str, Tariff] = field(default_factory=lambda: {TARIFF.version: TARIFF})
    is_away: bool = False
    meanwhile: Callable[[], Awaitable[None]] = nothing_happens

    async def keep(self, tariff: Tariff) -> None:
        self.tariffs[tariff.version] = tariff

    async def find(self, version: str) -> Tariff | None:
        if self.is_away:
            raise ArchiveAway
        await self.meanwhile()
        return self.tariffs.get(version)


class NoSurge:
    """Base prices everywhere."""

    async def read(self, cell: int, now_s: float) -> SurgePrice:
        return SurgePrice(cell, 1.0, None)

    async def read_many(self, cells: object, now_s: float) -> list[SurgePrice]:
        raise NotImplementedError

    async def write(self, multiplier_of: object, now_s: float, epoch: int) -> None:
        raise NotImplementedError

    async def set_frozen(self, *, is_frozen: bool, epoch: int | None = None) -> None:
        raise NotImplementedError


class ObservedRides(RideService):
    """Something may happen after a ride was read, and before anything is done about it."""

    after_find: Callable[[], Awaitable[None]] = staticmethod(nothing_happens)

    async def find(self, ride_id: str, role: Party, principal_id: str) -> Ride:
        ride = await super().find(ride_id, role, principal_id)
        happens, self.after_find = self.after_find, nothing_happens
        await happens()
        return ride


class Town:
    """The workflows of a region."""

    def __init__(self, store: SqlRideStore) -> None:
        self.store = store
        self.clock = Clock()
        self.archive = Archive()
        self.etas_s: dict[Point, float] = {}
        self.leases = MemoryLeases()
        self.rides = ObservedRides(store, self.leases, PARAMS, self.clock)
        self.stand()
        signer = QuoteSigner(KeyRing({"1": "a secret of the tests that is long enough"}))
        fares = FareService(REGION, GRAPH, self.archive)
        quotes = QuoteService(REGION, lambda: GRAPH, lambda: TARIFF, NoSurge(), map_id=map_id_of(GRAPH))
        self.quotes = QuoteWorkflow(quotes, signer, self.pickup_eta_s, self.clock)
        self.requests = RequestRideWorkflow(signer, self.rides, self.clock)
        self.finishing = FinishRideWorkflow(self.rides, fares, (ArchiveAway,))
        self.earnings = EarningsWorkflow(self.rides, fares)
        self.ending = EndRideWorkflow(self.rides, fares)
        places = Places.of(GRAPH, REGION.off_road_m_max)
        self.intervening = InterveneWorkflow(self.rides, fares, lambda point: places.at([point])[0], self.approach_s)
        self.registry = CollectorRegistry()
        count = EndingMetrics(self.registry).counts_of("manhattan")
        self.overdue = OverdueRides(self.ending, PARAMS, lambda: self.store.live_rides("manhattan"), self.clock, count)

    async def approach_s(self, driver_id: str, pickup: Place, seats: int) -> float:
        """As the API does it: dispatch's rule on the newest positions."""
        free = await self.store.free_drivers()
        supply = free_supply(self.positions, free, GRAPH, PARAMS, self.clock.now_s)
        return pickup_eta_of(driver_id, pickup, seats, free, supply, GRAPH)

    def stand(self, **node_of: int) -> None:
        """Cars that send their positions, at nodes of the street."""
        row = list(node_of.values())
        t_s = np.full(len(row), self.clock.now_s)
        nowhere = np.full(len(row), np.nan)
        self.positions = Positions(tuple(node_of), GRAPH.lat_deg[row], GRAPH.lng_deg[row], nowhere, t_s)

    async def pickup_eta_s(self, pickup: Point) -> float | None:
        return self.etas_s.get(pickup)

    async def requested(self, rider_id: str = "alice", name: str = "key") -> Ride:
        """A ride of the usual trip."""
        signed = await self.quotes.quote(rider_id, PICKUP, DROPOFF, 1)
        key = IdempotencyKey.of_body(f"rider:{rider_id}", name, signed.text)
        return (await self.requests.request(rider_id, signed.text, key)).ride

    async def arrived(self, rider_id: str = "alice", token: int = 1) -> Ride:
        """A ride whose driver, dora, stands at the pickup."""
        ride = await self.requested(rider_id)
        await on_shift(self.rides, "dora")
        await self.leases.restore(token)
        await self.rides.handle(offer(ride.ride_id, token=token))
        await self.rides.handle(accept(f"{ride.ride_id}-{token}"))
        return (await self.rides.handle(arrive(ride.ride_id))).ride

    async def on_trip(self, rider_id: str = "alice", token: int = 1, *, waited_s: float = 0.0) -> Ride:
        """A ride whose rider is aboard."""
        ride = await self.arrived(rider_id, token)
        self.clock.now_s += waited_s
        return (await self.rides.handle(cmd.ReportPickup(ride.ride_id, "dora"))).ride
