"""Quotes: the price of a trip along the road graph, at the surge of the pickup's cell, held for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from geo import cells, places
from geo.arrays import IntArray
from geo.city import Region
from geo.roads.graph import RoadGraph
from geo.roads.road_ways import road_way
from geo.roads.travel_times import UnreachableError
from kernel.points import Place, Point
from pricing.errors import NoTrip, NoWay, OutsideRegion
from pricing.model.quotes import Quote
from pricing.model.surge import MULTIPLIER_DECIMALS
from pricing.model.tariff import Surcharge, Tariff
from pricing.ports import SurgePrices
from pricing.rules.fares import itemise
from pricing.rules.surcharges import Touched, surcharges_due, zones_touched
from pricing.service.local_time import local_time

#: Long enough to read a price and decide; the surge walks at most a few steps meanwhile.
QUOTE_LIFE_S = 300.0


#: Nobody is driven a shorter way.
TRIP_M_MIN = 1.0


@dataclass(frozen=True, slots=True)
class Trip:
    """The quickest way between two points on roads."""

    pickup_node: int
    dropoff_node: int
    distance_m: float
    travel_time_s: float
    #: Every crossing of the way, (n,); none where it does not leave one street.
    node: IntArray


def snapped(region: Region, graph: RoadGraph, which: str, point: Point) -> Place:
    """Return a point with its road node; ``which`` names it in the error. Raises OutsideRegion."""
    [place], [off_road_m] = places.snapped(graph, [point])
    if off_road_m > region.off_road_m_max:
        raise OutsideRegion(which, region.region_id, float(off_road_m), region.off_road_m_max)
    return place


def find_trip(region: Region, graph: RoadGraph, pickup: Point, dropoff: Point) -> Trip:
    """Find the quickest way between the points of the roads that are nearest to the two.

    Raises OutsideRegion, NoTrip or NoWay.
    """
    pickup_node = snapped(region, graph, "pickup", pickup).node
    dropoff_node = snapped(region, graph, "dropoff", dropoff).node
    try:
        way = road_way(graph, pickup, dropoff)
    except UnreachableError as error:
        raise NoWay from error
    if way.length_m < TRIP_M_MIN:
        raise NoTrip
    return Trip(pickup_node, dropoff_node, way.length_m, way.travel_time_s, way.node)


class QuoteService:
    """Quotes trips in one region."""

    def __init__(
        self,
        region: Region,
        roads: Callable[[], RoadGraph],
        tariff: Callable[[], Tariff],
        prices: SurgePrices,
        *,
        quote_life_s: float = QUOTE_LIFE_S,
        announce: Callable[[Quote], None] = lambda quote: None,
        map_id: str = "",
    ) -> None:
        """``roads`` gives the roads under the travel times that count now, ``tariff`` the one in force.

        ``map_id`` is that of the roads: quotes name it beside their nodes.

        Each quote is shown to ``announce``, which must neither wait nor fail: asking is demand before the order.
        Raises ValueError if the life is not positive.
        """
        if not quote_life_s > 0:
            raise ValueError(f"quote_life_s must be a positive number of seconds, not {quote_life_s}")
        self._region = region
        self._roads = roads
        self._tariff = tariff
        self._prices = prices
        self._quote_life_s = quote_life_s
        self._announce = announce
        self._map_id = map_id

    async def quote(
        self, pickup: Point, dropoff: Point, *, seats: int, rider_id: str, quote_id: str, now_s: float
    ) -> Quote:
        """Return the price of the trip for this rider; ``quote_id`` is a new random id, drawn by the caller.

        The multiplier is taken in hundredths, as it is shown, so that the price can be checked by hand.
        Raises OutsideRegion, NoTrip or NoWay; ValueError for fewer seats than one.
        """
        tariff, graph = self._tariff(), self._roads()
        # In a thread: the search releases the GIL and takes milliseconds in a large city.
        trip = await asyncio.to_thread(find_trip, self._region, graph, pickup, dropoff)
        cell = int(cells.latlng_to_cells(pickup.lat_deg, pickup.lng_deg, self._region.surge_resolution)[0])
        surge_multiplier = round((await self._prices.read(cell, now_s)).multiplier, MULTIPLIER_DECIMALS)
        due = surcharges_of(tariff, self._region, graph, trip, pickup, dropoff, now_s)
        bill = itemise(tariff, trip.distance_m, trip.travel_time_s, surge_multiplier, due)
        quote = Quote(
            quote_id=quote_id,
            region_id=self._region.region_id,
            rider_id=rider_id,
            pickup=pickup,
            dropoff=dropoff,
            pickup_node=trip.pickup_node,
            dropoff_node=trip.dropoff_node,
            seats=seats,
            price_cents=bill.price_cents,
            currency=tariff.currency,
            surge_multiplier=surge_multiplier,
            distance_m=trip.distance_m,
            travel_time_s=trip.travel_time_s,
            tariff_version=tariff.version,
            lines=bill.lines,
            tax_cents=bill.tax_cents,
            issued_s=now_s,
            expires_s=now_s + self._quote_life_s,
            map_id=self._map_id,
        )
        self._announce(quote)
        return quote


def surcharges_of(
    tariff: Tariff, region: Region, graph: RoadGraph, trip: Trip, pickup: Point, dropoff: Point, quoted_s: float
) -> tuple[Surcharge, ...]:
    """Return what a trip that is quoted at ``quoted_s`` owes on top, by the region's clock and the tariff's zones."""
    if not tariff.surcharges:
        return ()
    local = local_time(region.timezone, quoted_s)
    if not tariff.zones:
        return surcharges_due(tariff, local, Touched())
    touched = Touched(
        pickup=zones_touched(tariff, pickup.lat_deg, pickup.lng_deg),
        dropoff=zones_touched(tariff, dropoff.lat_deg, dropoff.lng_deg),
        way=zones_touched(tariff, graph.lat_deg[trip.node], graph.lng_deg[trip.node]),
    )
    return surcharges_due(tariff, local, touched)
