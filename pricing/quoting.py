"""Quotes: the price of a trip along the road graph, at the surge of the pickup's cell, held for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from geo import cells, travel_times
from geo.city import Region
from geo.roads import RoadGraph
from pricing.errors import NoTrip, NoWay, OutsideRegion
from pricing.model import MULTIPLIER_DECIMALS, Point, Quote, Tariff
from pricing.ports import SurgePrices
from pricing.rules.fares import fare_cents

#: Long enough to read a price and decide; the surge walks at most a few steps meanwhile.
QUOTE_LIFE_S = 300.0


@dataclass(frozen=True, slots=True)
class Trip:
    """The quickest way between two snapped points."""

    pickup_node: int
    dropoff_node: int
    distance_m: float
    travel_time_s: float


def find_trip(region: Region, graph: RoadGraph, pickup: Point, dropoff: Point) -> Trip:
    """Snap both points to the roads and find the quickest way between them.

    Raises OutsideRegion, NoTrip or NoWay.
    """
    nodes, off_road_m = graph.snap([pickup.lat_deg, dropoff.lat_deg], [pickup.lng_deg, dropoff.lng_deg])
    for which, distance_m in zip(("pickup", "dropoff"), off_road_m.tolist(), strict=True):
        if distance_m > region.off_road_m_max:
            raise OutsideRegion(which, region.region_id, distance_m, region.off_road_m_max)
    pickup_node, dropoff_node = nodes.tolist()
    if pickup_node == dropoff_node:
        raise NoTrip
    try:
        way = travel_times.path(graph, pickup_node, dropoff_node)
    except travel_times.UnreachableError as error:
        raise NoWay from error
    return Trip(pickup_node, dropoff_node, float(way.length_m[-1]), float(way.arrival_s[-1]))


class QuoteService:
    """Quotes trips in one region."""

    def __init__(
        self,
        region: Region,
        graph: RoadGraph,
        tariff: Tariff,
        prices: SurgePrices,
        *,
        quote_life_s: float = QUOTE_LIFE_S,
        announce: Callable[[Quote], None] = lambda quote: None,
    ) -> None:
        """Each quote is shown to ``announce``, which must neither wait nor fail: asking is demand before the order.

        Raises ValueError if the tariff is not in the region's currency, or the life is not positive."""
        if tariff.currency != region.currency:
            raise ValueError(
                f"the tariff of region {region.region_id} must be in its currency {region.currency}, "
                f"not in {tariff.currency}"
            )
        if not quote_life_s > 0:
            raise ValueError(f"quote_life_s must be a positive number of seconds, not {quote_life_s}")
        self._region = region
        self._graph = graph
        self._tariff = tariff
        self._prices = prices
        self._quote_life_s = quote_life_s
        self._announce = announce

    async def quote(
        self, pickup: Point, dropoff: Point, *, seats: int, rider_id: str, quote_id: str, now_s: float
    ) -> Quote:
        """Return the price of the trip for this rider; ``quote_id`` is a new random id, drawn by the caller.

        The multiplier is taken in hundredths, as it is shown, so that the price can be checked by hand.
        Raises OutsideRegion, NoTrip or NoWay; ValueError for fewer seats than one.
        """
        # In a thread: the search releases the GIL and takes milliseconds in a large city.
        trip = await asyncio.to_thread(find_trip, self._region, self._graph, pickup, dropoff)
        cell = int(cells.latlng_to_cells(pickup.lat_deg, pickup.lng_deg, self._region.surge_resolution)[0])
        surge_multiplier = round((await self._prices.read(cell, now_s)).multiplier, MULTIPLIER_DECIMALS)
        quote = Quote(
            quote_id=quote_id,
            region_id=self._region.region_id,
            rider_id=rider_id,
            pickup=pickup,
            dropoff=dropoff,
            pickup_node=trip.pickup_node,
            dropoff_node=trip.dropoff_node,
            seats=seats,
            price_cents=fare_cents(self._tariff, trip.distance_m, trip.travel_time_s, surge_multiplier),
            currency=self._tariff.currency,
            surge_multiplier=surge_multiplier,
            distance_m=trip.distance_m,
            travel_time_s=trip.travel_time_s,
            issued_s=now_s,
            expires_s=now_s + self._quote_life_s,
        )
        self._announce(quote)
        return quote
