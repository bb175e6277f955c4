from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from geo import cells
from geo.city import City
from geo.roads.graph import RoadGraph
from kernel.points import Point
from pricing.errors import NoTrip, NoWay, OutsideRegion
from pricing.model.quotes import Line, Quote
from pricing.model.surge import SurgePrice
from pricing.model.tariff import Surcharge, Tariff, zone_of
from pricing.rules.fares import fare_cents
from pricing.service.quotes import QuoteService

TARIFF = Tariff("USD", base_cents=250, per_km_cents=125, per_minute_cents=35, minimum_cents=100, rounding_cents=1)
NOW_S = 1_400_000_000.0


class OneCell:
    """Surge in one cell, none elsewhere."""

    def __init__(self, cell: int = 0, multiplier: float = 1.0) -> None:
        self.cell, self.multiplier = cell, multiplier

    async def read(self, cell: int, now_s: float) -> SurgePrice:
        return SurgePrice(cell, self.multiplier if cell == self.cell else 1.0, now_s)

    async def read_many(self, cells: object, now_s: float) -> list[SurgePrice]:
        raise NotImplementedError

    async def write(self, multiplier_of: object, now_s: float) -> None:
        raise NotImplementedError


def corner(city: City, node: int, north_deg: float = 0.0) -> Point:
    return Point(float(city.graph.lat_deg[node]) + north_deg, float(city.graph.lng_deg[node]))


async def quote(
    city: City,
    pickup: Point,
    dropoff: Point,
    prices: OneCell | None = None,
    *,
    seats: int = 1,
    life_s: float = 120.0,
    tariff: Tariff = TARIFF,
) -> Quote:
    service = QuoteService(city.region, lambda: city.graph, lambda: tariff, prices or OneCell(), quote_life_s=life_s)
    return await service.quote(pickup, dropoff, seats=seats, rider_id="rider", quote_id="q-1", now_s=NOW_S)


async def test_a_quote_says_all_about_the_trip(grid_city: City) -> None:
    pickup, dropoff = corner(grid_city, 0, north_deg=-0.0001), corner(grid_city, 14)
    assert await quote(grid_city, pickup, dropoff, seats=2) == Quote(
        quote_id="q-1",
        region_id="grid",
        rider_id="rider",
        pickup=pickup,
        dropoff=dropoff,
        pickup_node=0,
        dropoff_node=14,
        seats=2,
        # Two streets north and two east: 250 + 0.8 km x 125 + 80 s x 35 / 60
        price_cents=397,
        currency="USD",
        surge_multiplier=1.0,
        distance_m=800.0,
        travel_time_s=80.0,
        tariff_version=TARIFF.version,
        lines=(Line("base", 250), Line("distance", 100), Line("time", 47)),
        tax_cents=0,
        issued_s=NOW_S,
        expires_s=NOW_S + 120.0,
    )


async def test_the_price_is_the_tariff_times_the_surge_of_the_pickups_cell_as_shown(grid_city: City) -> None:
    pickup, dropoff = corner(grid_city, 0), corner(grid_city, 35)
    cell = int(cells.latlng_to_cells(pickup.lat_deg, pickup.lng_deg, 8)[0])
    surged = await quote(grid_city, pickup, dropoff, OneCell(cell, 1.234567))
    assert surged.surge_multiplier == 1.23
    assert surged.price_cents == fare_cents(TARIFF, 2_000.0, 200.0, 1.23)


async def test_the_surge_of_another_cell_does_not_matter(grid_city: City) -> None:
    pickup, dropoff = corner(grid_city, 0), corner(grid_city, 35)
    assert (await quote(grid_city, pickup, dropoff, OneCell(123, 3.0))).surge_multiplier == 1.0


@pytest.mark.parametrize("which", ["pickup", "dropoff"])
async def test_a_point_far_from_every_road_is_outside_and_the_error_says_how_far(grid_city: City, which: str) -> None:
    away, near = corner(grid_city, 0, north_deg=-0.01), corner(grid_city, 35)
    points = (away, near) if which == "pickup" else (near, away)
    with pytest.raises(OutsideRegion, match=rf"The {which} is 1112 m .* region grid; at most 150 m") as raised:
        await quote(grid_city, *points)
    assert raised.value.which == which
    assert raised.value.distance_m == pytest.approx(1112.0, abs=1.0)
    assert raised.value.hint


async def test_the_distance_to_the_road_is_allowed_to_its_limit(grid_city: City) -> None:
    metre_deg = 1.0 / 111_195.0
    await quote(grid_city, corner(grid_city, 0, north_deg=-149.0 * metre_deg), corner(grid_city, 35))
    with pytest.raises(OutsideRegion):
        await quote(grid_city, corner(grid_city, 0, north_deg=-151.0 * metre_deg), corner(grid_city, 35))


async def test_the_same_place_twice_is_no_trip(grid_city: City) -> None:
    with pytest.raises(NoTrip, match="nothing to drive"):
        await quote(
            grid_city, corner(grid_city, 0), corner(grid_city, 0, north_deg=-0.0002)
        )  # south of the last street


async def test_a_trip_within_one_street_costs_the_part_that_is_driven(grid_city: City) -> None:
    trip = await quote(grid_city, corner(grid_city, 7, north_deg=0.0002), corner(grid_city, 7, north_deg=0.0011))
    assert trip.distance_m == pytest.approx(0.0009 * 111_195.0)
    assert trip.travel_time_s == pytest.approx(trip.distance_m / 10.0)


async def test_where_no_road_leads_there_is_no_way(grid_city: City) -> None:
    graph = grid_city.graph
    closed = np.where(graph.target == 35, np.inf, graph.travel_time_s)
    with pytest.raises(NoWay):
        await quote(
            City(grid_city.region, graph.with_travel_times(closed), {}), corner(grid_city, 0), corner(grid_city, 35)
        )


async def test_a_one_way_street_can_make_the_way_back_longer(grid_city: City) -> None:
    """A ring of three one-way streets: one street there, two back."""
    ring = RoadGraph.from_arrays(
        [0.0, 0.0, 0.001], [0.0, 0.001, 0.0005], [0, 1, 2], [1, 2, 0], [110.0, 120.0, 130.0], [11.0, 12.0, 13.0]
    )
    there, back = Point(0.0, 0.0), Point(0.0, 0.001)
    city = City(grid_city.region, ring, {})
    assert (await quote(city, there, back)).distance_m == 110.0
    assert (await quote(city, back, there)).distance_m == 250.0


async def test_fewer_seats_than_one_are_refused(grid_city: City) -> None:
    with pytest.raises(ValueError, match="seats must be at least 1, not 0"):
        await quote(grid_city, corner(grid_city, 0), corner(grid_city, 35), seats=0)


def cell_of(place: Point, resolution: int = 10) -> str:
    return cells.cells_to_strings(cells.latlng_to_cells(place.lat_deg, place.lng_deg, resolution))[0]


@pytest.mark.parametrize(("at", "nodes"), [("pickup", {0}), ("dropoff", {35}), ("either", {0, 35}), ("way", {0, 35})])
async def test_a_zone_counts_where_the_surcharge_says(grid_city: City, at: str, nodes: set[int]) -> None:
    """From the south-west corner to the north-east one."""
    for node in (0, 35):
        zone = zone_of("here", {cell_of(corner(grid_city, node)): 10})
        tariff = replace(TARIFF, zones=(zone,), surcharges=(Surcharge("fee", amount_cents=500, zone="here", at=at),))
        quoted = await quote(grid_city, corner(grid_city, 0), corner(grid_city, 35), tariff=tariff)
        assert (Line("surcharge:fee", 500) in quoted.lines) == (node in nodes)


async def test_a_toll_on_the_way_is_owed_although_neither_end_is_in_its_zone(grid_city: City) -> None:
    all_inner = {cell_of(corner(grid_city, node)): 10 for node in range(1, 35)}
    toll = Surcharge("bridge", amount_cents=694, zone="river", at="way")
    tariff = replace(TARIFF, zones=(zone_of("river", all_inner),), surcharges=(toll,))
    crossing = await quote(grid_city, corner(grid_city, 0), corner(grid_city, 35), tariff=tariff)
    assert Line("surcharge:bridge", 694) in crossing.lines
    at_ends = replace(tariff, surcharges=(replace(toll, at="either"),))
    assert (await quote(grid_city, corner(grid_city, 0), corner(grid_city, 35), tariff=at_ends)).lines[
        -1
    ].name == "time"


async def test_a_night_is_one_by_the_clocks_of_the_region(grid_city: City) -> None:
    """NOW_S is 12:53 in New York and 16:53 in UTC, on a Tuesday."""
    for from_s, until_s, weekday, is_due in (
        *((12.0, 13.0, "tue", True), (16.0, 17.0, "tue", False)),
        *((12.0, 13.0, "wed", False), (13.0, 12.9, "mon", True), (13.0, 12.9, "tue", False)),
    ):
        hours = {"from_s": from_s * 3600.0, "until_s": until_s * 3600.0, "weekdays": (weekday,)}
        tariff = replace(TARIFF, surcharges=(Surcharge("hours", percent=10, **hours),))
        quoted = await quote(grid_city, corner(grid_city, 0), corner(grid_city, 35), tariff=tariff)
        assert ("surcharge:hours" in [line.name for line in quoted.lines]) == is_due, (from_s, until_s, weekday)


def test_a_quote_that_never_holds_is_refused(grid_city: City) -> None:
    with pytest.raises(ValueError, match="quote_life_s must be a positive number"):
        QuoteService(grid_city.region, lambda: grid_city.graph, lambda: TARIFF, OneCell(), quote_life_s=0.0)
