"""Fares at the dropoff and what drivers earn, by the version of the tariff that a ride was quoted by."""

from __future__ import annotations

import asyncio

from geo.city import Region
from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from kernel.points import Point
from pricing.errors import QuoteRefused
from pricing.model.quotes import Receipt
from pricing.model.tariff import Tariff
from pricing.ports import TariffArchive
from pricing.rules.dropoff import DropoffTerms, OtherTrip
from pricing.rules.earnings import Earnings, split
from pricing.service.quotes import find_trip, surcharges_of


class FareService:
    """Settles and splits the fares of one region, each by the version of the tariff that it was quoted by.

    Ways to another dropoff are measured on the travel times of the city's folder: the same ride costs the same whenever
    it is settled, whatever the traffic is by then.
    """

    def __init__(self, region: Region, graph: RoadGraph, archive: TariffArchive) -> None:
        self._region = region
        self._graph = graph
        self._archive = archive

    async def dropoff_terms(
        self, receipt: Receipt, pickup: Point, dropoff: Point, left_at: Point | None
    ) -> DropoffTerms | None:
        """Return what the fare of the quoted trip is computed by; None where the quoted price stands.

        It stands where the tariff says so, and where nobody kept the tariff. ``left_at`` is where the rider left, None
        if nobody said. Raises what the archive raises.
        """
        tariff = await self._archive.find(receipt.tariff_version)
        if tariff is None or tariff.at_dropoff is None:
            return None
        if left_at is None or _distance_m(left_at, dropoff) <= tariff.at_dropoff.place_tolerance_m:
            return DropoffTerms(tariff, None)
        # In a thread: the search releases the GIL and takes milliseconds in a large city.
        return DropoffTerms(tariff, await asyncio.to_thread(self._other_trip, tariff, receipt, pickup, left_at))

    async def tariff_of(self, receipt: Receipt) -> Tariff | None:
        """The tariff that a trip was quoted by; None if nobody kept it. Raises what the archive raises."""
        return await self._archive.find(receipt.tariff_version)

    def _other_trip(self, tariff: Tariff, receipt: Receipt, pickup: Point, left_at: Point) -> OtherTrip | None:
        """Return the trip to where the rider left; None if none of the region's roads leads there."""
        try:
            other = find_trip(self._region, self._graph, pickup, left_at)
        except QuoteRefused:
            return None
        due = surcharges_of(tariff, self._region, self._graph, other, pickup, left_at, receipt.quoted_s)
        return OtherTrip(other.distance_m, due)

    async def earnings(self, price_cents: int, receipt: Receipt) -> Earnings | None:
        """Return who gets what of a fare; None if the tariff of its version is lost. Raises what the archive raises."""
        tariff = await self._archive.find(receipt.tariff_version)
        return split(tariff, price_cents, receipt) if tariff is not None else None


def _distance_m(one: Point, other: Point) -> float:
    return float(great_circle_m(one.lat_deg, one.lng_deg, other.lat_deg, other.lng_deg)[0])
