"""What a driver earns with a ride, before and after it is taken."""

from __future__ import annotations

import pytest

from dispatch.errors import NotFound
from tests.dispatch.people import offer, on_shift
from tests.workflows.town import FARTHER, Town


async def test_earnings_are_told_to_the_driver_who_is_asked_and_to_nobody_else(town: Town) -> None:
    ride = await town.requested()
    await on_shift(town.rides, "dora")
    await town.rides.handle(offer(ride.ride_id))
    read, earnings = await town.earnings.read(ride.ride_id, "dora")
    assert earnings is not None
    assert read.fare_cents == earnings.driver_cents + earnings.platform_cents + earnings.tax_cents
    with pytest.raises(NotFound):
        await town.earnings.read(ride.ride_id, "dave")


async def test_earnings_follow_the_fare_at_the_dropoff(town: Town) -> None:
    quoted = await town.on_trip(waited_s=900.0)
    _, before = await town.earnings.read(quoted.ride_id, "dora")
    town.clock.now_s += 600.0
    ended = await town.finishing.finish(quoted.ride_id, "dora", FARTHER)
    read, after = await town.earnings.read(quoted.ride_id, "dora")
    assert before is not None
    assert after is not None
    assert read == ended
    assert after.driver_cents > before.driver_cents
    assert ended.fare_cents == after.driver_cents + after.platform_cents + after.tax_cents


async def test_without_its_tariff_a_fare_is_not_split(town: Town) -> None:
    quoted = await town.on_trip()
    town.archive.tariffs.clear()
    assert await town.earnings.read(quoted.ride_id, "dora") == (quoted, None)
