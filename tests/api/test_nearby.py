"""The cars that a rider sees near, and the pickup time of a quote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.nearby import nearest_drivers, nearest_eta_s
from api.supply import RecentDrivers
from dispatch.model import SupplySnapshot
from dispatch.ports import FreeDriver, Positions
from geo.distances import great_circle_m
from geo.roads.road_ways import road_way
from kernel.points import Place, Point
from tests.api.installation import BERLIN, BRYANT_PARK, TIMES_SQUARE, TRIP, UNION_SQUARE, People, Person, assert_problem
from tests.dispatch.people import grid_city
from tests.patience import eventually

CITY = grid_city(rows=12, columns=12)


def drivers_at(nodes: list[int], idle: list[bool]) -> RecentDrivers:
    """Drivers at crossings, of whom some are idle."""
    names = tuple(f"d{number:03}" for number in range(len(nodes)))
    node, is_idle = np.array(nodes, int), np.array(idle, bool)
    nobody = np.full(len(nodes), np.nan)
    positions = Positions(names, CITY.lat_deg[node], CITY.lng_deg[node], nobody, np.zeros(len(nodes)))
    there = tuple(name for name, here in zip(names, idle, strict=True) if here)
    supply = SupplySnapshot(0.0, there, node[is_idle], np.full(len(there), 4))
    return RecentDrivers(positions, {name: FreeDriver(4, 0.0) for name in there}, supply, 0.0)


fleets = st.lists(st.tuples(st.integers(0, CITY.node_count - 1), st.booleans()), max_size=40)


@settings(deadline=None)
@given(fleets, st.integers(0, CITY.node_count - 1), st.integers(1, 8), st.sampled_from([150.0, 600.0, 5_000.0]))
def test_the_nearest_idle_drivers_are_those_of_looking_at_every_one(
    fleet: list[tuple[int, bool]], node: int, count: int, within_m: float
) -> None:
    place = Place(float(CITY.lat_deg[node]) + 3e-4, float(CITY.lng_deg[node]), node)
    recent = drivers_at([at for at, _ in fleet], [idle for _, idle in fleet])
    found = nearest_drivers(recent, CITY, place, count, within_m, eta_s_max=60.0)

    idle_node = np.array([at for at, idle in fleet if idle], int)
    away_m = great_circle_m(CITY.lat_deg[idle_node], CITY.lng_deg[idle_node], place.lat_deg, place.lng_deg)
    nearest = [at for at in np.argsort(away_m, kind="stable") if away_m[at] <= within_m][:count]
    assert [driver.distance_m for driver in found] == pytest.approx(away_m[nearest].tolist(), abs=1e-3)
    cars = [Point(float(CITY.lat_deg[at]), float(CITY.lng_deg[at])) for at in idle_node[nearest]]
    eta_s = [road_way(CITY, car, place).travel_time_s for car in cars]
    assert [driver.pickup_eta_s or 0.0 for driver in found] == pytest.approx(
        [seconds if seconds <= 60.0 else 0.0 for seconds in eta_s]
    )
    cars = [Point(float(CITY.lat_deg[at]), float(CITY.lng_deg[at])) for at in idle_node]
    every_s = [road_way(CITY, car, place).travel_time_s for car in cars]
    first_s = min((seconds for seconds in every_s if seconds <= 60.0), default=None)
    assert nearest_eta_s(recent, CITY, place, 60.0) == (None if first_s is None else pytest.approx(first_s))


async def near(person: Person, place: dict[str, float] = TIMES_SQUARE, **more: float) -> list[dict[str, Any]]:
    answer = await person.get("/v1/drivers/nearby", params={**place, **more})
    assert answer.status_code == 200, answer.text
    drivers: list[dict[str, Any]] = answer.json()["drivers"]
    return drivers


async def eventually_near(person: Person, count: int) -> list[dict[str, Any]]:
    """The picture is of a second ago, and a ping takes a moment to its cell."""

    async def found() -> tuple[list[dict[str, Any]]] | None:
        drivers = await near(person)
        return (drivers,) if len(drivers) == count else None

    return (await eventually(found, every_s=0.1))[0]


@pytest.mark.servers
async def test_a_rider_sees_idle_drivers_only_and_the_quote_says_how_soon_the_first_can_be_there(
    people: People,
) -> None:
    rider, driver = people.rider(), people.driver()
    assert await eventually_near(rider, 0) == []
    assert (await rider.post("/v1/quotes", TRIP)).json()["pickup_eta_s"] is None
    async with driver.on_shift(BRYANT_PARK) as told:
        [car] = await eventually_near(rider, 1)
        assert car["point"] == {name: round(degrees, 3) for name, degrees in BRYANT_PARK.items()}
        assert car["distance_m"] == 500.0  # 526 m
        assert 30.0 < car["pickup_eta_s"] < 400.0
        assert driver.id not in str(car)
        # As rounds count it, between the ends of streets: not the same, but of that size.
        assert 30.0 < (await rider.post("/v1/quotes", TRIP)).json()["pickup_eta_s"] < 400.0
        assert await near(rider, UNION_SQUARE, within_m=500.0) == []

        ride_id = await rider.request_ride()
        await told.event("OfferSent", ride_id=ride_id)
        await eventually_near(rider, 0)


@pytest.mark.servers
async def test_a_point_outside_the_region_and_a_number_out_of_range_are_refused(people: People) -> None:
    rider = people.rider()
    problem = assert_problem(await rider.get("/v1/drivers/nearby", params=BERLIN), 422, "outside_region")
    assert problem["detail"].startswith("The point is ")
    for wrong in ({"lat_deg": 91}, {"lng_deg": "nan"}, {"count": 0}, {"count": 21}, {"within_m": 0}):
        answer = await rider.get("/v1/drivers/nearby", params=TIMES_SQUARE | wrong)
        assert_problem(answer, 422, "invalid")
