"""Prices of a simulated day: fares of all trips by the tariff, and surge by the shipped pricing engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from dispatch import events as ev
from geo.arrays import FloatArray, IntArray
from geo.city import City
from geo.roads.road_ways import road_way
from kernel.points import Point
from kernel.section_reader import read_params
from pricing.commands import CountQuote, CountRequest, Tick
from pricing.engine import PricingEngine
from pricing.events import SurgeChanged
from pricing.model.quotes import Receipt
from pricing.model.surge import BASE_MULTIPLIER, MULTIPLIER_DECIMALS, SurgeParams
from pricing.model.tariff import Surcharge, Tariff
from pricing.rules.cells import cell_indices
from pricing.rules.fares import itemise
from pricing.rules.no_show import no_show_fee
from pricing.rules.reach import grid_of
from pricing.rules.surcharges import Touched, surcharges_due, zones_touched
from pricing.service.local_time import local_time
from pricing.service.tariff_sections import tariff_of
from simulator.demand.inputs import PlacedRequests
from simulator.service.virtual_dispatch import EventHandler
from simulator.streets.ways import Ways

#: After so many half-lives of the demand's count nothing of a request is left: a millionth.
HALF_LIVES_KEPT = 20.0


class IdlePlaces(Protocol):
    """Drivers who can be asked where those without work are."""

    def idle_places(self, now_s: float) -> tuple[FloatArray, FloatArray]:
        """Latitudes (n,) and longitudes (n,) of the drivers who wait for work."""


#: Returns the surcharges of the trip of a row when quoted at a time.
SurchargesOf = Callable[[int, float], tuple[Surcharge, ...]]


class Market:
    """Quotes the trips of all rows; without an engine every multiplier is 1."""

    def __init__(
        self,
        tariff: Tariff,
        duration_s: FloatArray,
        length_m: FloatArray,
        surge: Surge | None,
        surcharges: SurchargesOf = lambda row, quoted_s: (),
    ) -> None:
        """`duration_s` and `length_m` (n,) are the trips in the order of the requests; `surcharges` what each owes."""
        self.currency = tariff.currency
        self._tariff = tariff
        self._version = tariff.version
        self._duration_s = duration_s.tolist()
        self._length_m = length_m.tolist()
        self._surge = surge
        self._surcharges = surcharges
        #: row -> multiplier and time of its quote.
        self._quoted: dict[int, tuple[float, float]] = {}

    def quote(self, row: int, now_s: float) -> tuple[int, float]:
        """Return (fare_cents, surge_multiplier) of a trip now; the multiplier in hundredths, as it is shown."""
        if self._surge is not None:
            self._surge.record_quote(row, now_s)
        surge_multiplier = self._surge.multiplier(row) if self._surge is not None else BASE_MULTIPLIER
        self._quoted[row] = surge_multiplier, now_s
        return self.receipt(row)[0], surge_multiplier

    @property
    def no_show_fee_cents(self) -> int:
        """What a rider owes who does not come to the pickup, by the rule that live no-shows follow."""
        return no_show_fee(self._tariff).price_cents

    def receipt(self, row: int) -> tuple[int, Receipt]:
        """The last quoted price of a trip, and its receipt. Raises KeyError if it was never quoted."""
        surge_multiplier, quoted_s = self._quoted[row]
        distance_m, travel_time_s = self._length_m[row], self._duration_s[row]
        due = self._surcharges(row, quoted_s)
        bill = itemise(self._tariff, distance_m, travel_time_s, surge_multiplier, due)
        return bill.price_cents, Receipt(
            tariff_version=self._version,
            quoted_s=quoted_s,
            distance_m=distance_m,
            travel_time_s=travel_time_s,
            surge_multiplier=surge_multiplier,
            lines=bill.lines,
            tax_cents=bill.tax_cents,
        )


def market_of(city: City, requests: PlacedRequests, ways: Ways, surge: Surge | None) -> Market:
    """The market for these requests; their trips are searched. Raises ValueError for one without a way."""
    asked = requests.asked
    ends = [ways.stops.add(*points_deg.T) for points_deg in (asked.pickup_deg, asked.dropoff_deg)]
    duration_s, length_m = ways.learn(*ends)
    if not (duration_s < math.inf).all():
        row = int((~(duration_s < math.inf)).argmax())
        raise ValueError(f"there is no way from {asked.pickup_deg[row]} to {asked.dropoff_deg[row]}")
    tariff = tariff_of(city.sections)
    return Market(tariff, duration_s, length_m, surge, TripSurcharges(tariff, city, requests).due)


class TripSurcharges:
    """The surcharges of the trips of all rows, by the rule that live quotes follow."""

    def __init__(self, tariff: Tariff, city: City, requests: PlacedRequests) -> None:
        self._tariff = tariff
        self._city = city
        self._requests = requests
        #: row -> the zones that its trip touches.
        self._touched: dict[int, Touched] = {}

    def due(self, row: int, quoted_s: float) -> tuple[Surcharge, ...]:
        """The surcharges of a trip quoted at this time."""
        if not self._tariff.surcharges:
            return ()
        local = local_time(self._city.region.timezone, quoted_s)
        return surcharges_due(self._tariff, local, self._zones_of(row))

    def _zones_of(self, row: int) -> Touched:
        if row not in self._touched:
            self._touched[row] = self._search(row) if self._tariff.zones else Touched()
        return self._touched[row]

    def _search(self, row: int) -> Touched:
        tariff, graph, asked = self._tariff, self._city.graph, self._requests.asked
        pickup, dropoff = (
            zones_touched(tariff, *asked.pickup_deg[row]),
            zones_touched(tariff, *asked.dropoff_deg[row]),
        )
        if not any(entry.at == "way" for entry in tariff.surcharges):
            return Touched(pickup, dropoff)
        way = road_way(graph, Point(*asked.pickup_deg[row].tolist()), Point(*asked.dropoff_deg[row].tolist()))
        return Touched(pickup, dropoff, zones_touched(tariff, graph.lat_deg[way.node], graph.lng_deg[way.node]))


def surge_of(city: City, requests: PlacedRequests) -> Surge:
    """The surge pricer of a city. Raises ValueError for an invalid surge section."""
    return Surge(city, read_params(city.sections, SurgeParams), requests.asked.pickup_deg)


def idle_per_cell(city: City, fleet: IdlePlaces, now_s: float) -> IntArray:
    """Idle drivers (c,) by surge cell."""
    index = cell_indices(city.surge_cells, city.region.surge_resolution, *fleet.idle_places(now_s))
    return np.bincount(index[index >= 0], minlength=len(city.surge_cells))


class Surge:
    """Runs the region's pricing engine on the events of the day."""

    def __init__(self, city: City, params: SurgeParams, pickup_deg: FloatArray) -> None:
        """`pickup_deg` (n, 2) are the pickups of all rows."""
        self.tick_s = params.tick_s
        self.changes: list[SurgeChanged] = []
        self._forgets_s = HALF_LIVES_KEPT * params.demand_half_life_s
        #: When demand was last counted, and when prices last moved.
        self._moved_s = -math.inf
        self._city = city
        self._cells = city.surge_cells
        self._resolution = city.region.surge_resolution
        self._engine = PricingEngine(grid_of(city, params.reach_s), params)
        cell: IntArray = cell_indices(self._cells, self._resolution, pickup_deg[:, 0], pickup_deg[:, 1])
        self._cell_of_row = cell.tolist()
        self._multiplier: FloatArray = self._engine.multiplier

    @property
    def multipliers(self) -> FloatArray:
        """The multipliers (c,) as of the last tick."""
        return self._multiplier

    def multiplier(self, row: int) -> float:
        """The multiplier at the pickup of a row; outside every cell the base price holds."""
        cell = self._cell_of_row[row]
        return round(float(self._multiplier[cell]), MULTIPLIER_DECIMALS) if cell >= 0 else BASE_MULTIPLIER

    def record_quote(self, row: int, now_s: float) -> None:
        """Record a quote: pricing counts it as demand before the request."""
        if self._cell_of_row[row] >= 0:
            self._moved_s = now_s
            self._engine.handle(CountQuote(self._cell_of_row[row], now_s), now_s)

    def tick(self, fleet: IdlePlaces, now_s: float) -> None:
        """Set prices from the demand so far and the idle drivers."""
        changes = self._engine.handle(Tick(idle_per_cell(self._city, fleet, now_s)), now_s)
        if changes:
            self._moved_s = now_s
        self.changes += changes
        self._multiplier = self._engine.multiplier

    def is_settled(self, now_s: float) -> bool:
        """Whether demand is forgotten and prices have stood still since."""
        return now_s - self._moved_s > self._forgets_s

    def handlers(self) -> dict[type[ev.RideEvent], EventHandler]:
        """Handlers of the events that prices depend on, the same as in the live service."""
        return {ev.RideRequested: self._on_request}

    def _on_request(self, event: ev.RideEvent, now_s: float) -> None:
        assert isinstance(event, ev.RideRequested)
        where = [event.pickup.lat_deg], [event.pickup.lng_deg]
        cell = int(cell_indices(self._cells, self._resolution, *where)[0])
        if cell >= 0:
            self._moved_s = now_s
            self._engine.handle(CountRequest(cell, event.at_s), now_s)
