"""Fares at the dropoff and what drivers earn, by the version of the tariff that a ride was quoted by."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from geo.city import Region
from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from kernel.points import Point
from pricing.errors import QuoteRefused
from pricing.model.quotes import Receipt
from pricing.model.tariff import Tariff
from pricing.ports import TariffArchive
from pricing.rules.dropoff import Driven, OtherTrip, fare_at_dropoff
from pricing.rules.earnings import Earnings, split
from pricing.service.quotes import find_trip, surcharges_of


@dataclass(frozen=True, slots=True)
class EndedTrip:
    """A quoted trip that was driven: its points from the quote and the driver's app, its times from the ride."""

    pickup: Point
    dropoff: Point
    #: Where the rider left; None if nobody said.
    left_at: Point | None
    arrived_s: float
    picked_up_s: float
    dropped_off_s: float


class FareService:
    """Settles the rides of one region by the version of the tariff that each was quoted by."""

    def __init__(self, region: Region, graph: RoadGraph, archive: TariffArchive) -> None:
        self._region = region
        self._graph = graph
        self._archive = archive

    async def settle(self, price_cents: int, receipt: Receipt, trip: EndedTrip) -> tuple[int, Receipt]:
        """Return the fare and how it came about: the quote's, where nothing changed or its tariff is lost.

        Raises what the archive raises.
        """
        tariff = await self._archive.find(receipt.tariff_version)
        if tariff is None or tariff.at_dropoff is None:
            return price_cents, receipt
        driven = Driven(
            travel_time_s=max(trip.dropped_off_s - trip.picked_up_s, 0.0),
            waited_s=max(trip.picked_up_s - trip.arrived_s, 0.0),
            other_trip=await asyncio.to_thread(self._other_trip, tariff, receipt, trip),
        )
        return fare_at_dropoff(tariff, price_cents, receipt, driven)

    def _other_trip(self, tariff: Tariff, receipt: Receipt, trip: EndedTrip) -> OtherTrip | None:
        """The trip to where the rider left, if that is another place, and one of the region's roads leads there."""
        left_at, quoted = trip.left_at, trip.dropoff
        if left_at is None or tariff.at_dropoff is None:
            return None
        off_m = great_circle_m(left_at.lat_deg, left_at.lng_deg, quoted.lat_deg, quoted.lng_deg)
        if float(off_m[0]) <= tariff.at_dropoff.place_tolerance_m:
            return None
        try:
            other = find_trip(self._region, self._graph, trip.pickup, left_at)
        except QuoteRefused:
            return None
        due = surcharges_of(tariff, self._region, self._graph, other, trip.pickup, left_at, receipt.quoted_s)
        return OtherTrip(other.distance_m, due)

    async def earnings(self, price_cents: int, receipt: Receipt) -> Earnings | None:
        """Return who gets what of a fare; None if the tariff of its version is lost. Raises what the archive raises."""
        tariff = await self._archive.find(receipt.tariff_version)
        return split(tariff, price_cents, receipt) if tariff is not None else None
