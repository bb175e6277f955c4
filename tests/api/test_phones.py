"""Phones as they are, through gateway, broker, ingester and matcher: recorded pings, and a car that stands."""

from __future__ import annotations

import asyncio
import json
from itertools import cycle
from pathlib import Path

import pytest

from dispatch.model import DispatchParams
from hexhail.cities.sections import load_checked_city
from hexhail.runtime.settings import MANHATTAN
from kernel.section_reader import read_params
from location_ingest.model import IngestParams
from tests.api.installation import BRYANT_PARK, SPEED, TIMES_SQUARE, Installation, People
from tests.hexhail.command_line import hexhail_process

pytestmark = pytest.mark.servers


def recorded(folder: Path) -> Path:
    """Half a minute of three cars: one drives well, one jumps across the city and back, one is in another country."""
    rows = ["driver_id,t_s,lat_deg,lng_deg,speed_mps"]
    for step in range(10):
        t_s = 1_419_181_200 + 3 * step
        rows.append(f"good,{t_s},{40.7580 + 0.0001 * step},-73.9855,4")
        rows.append(f"jumps,{t_s},{40.7080 if step == 5 else 40.7536},-73.9832,")
        rows.append(f"abroad,{t_s},52.52,13.405,4")
    path = folder / "pings.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


async def test_recorded_pings_that_are_sent_to_a_city_are_all_accepted_or_refused_for_a_reason(
    installation: Installation, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    options = ("--speed", f"{SPEED:g}", "--url", installation.url, "--figures", str(figures))
    done = await asyncio.to_thread(
        hexhail_process, "replay", "pings", str(recorded(tmp_path)), *options, **installation.env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(figures.read_text())
    refused, rejected = sum(told["refused"].values()), sum(told["rejected"].values())
    assert told["sent"] == 30
    assert told["accepted"] + refused + rejected == told["sent"]
    assert told["accepted"] >= 10
    assert refused + rejected >= 11  # all from abroad, and the jump
    assert told["unusable"] == 0


async def test_a_parked_phone_that_repeats_its_last_fix_is_offered_rides_beyond_the_freshness_limit(
    people: People,
) -> None:
    sections = load_checked_city(MANHATTAN).sections
    stale_after_s = read_params(sections, DispatchParams).stale_after_s
    wait_s = 1.1 * stale_after_s / SPEED
    # More often than a phone that is not parked may repeat itself.
    every_s = wait_s / (read_params(sections, IngestParams).repeats_max + 3)
    rider, parked, silent = people.rider(), people.driver(), people.driver()
    fixes = cycle([{"speed_mps": -1.0, "heading_deg": -1.0}, {"speed_mps": None, "heading_deg": None}])

    async def repeat_the_fix() -> None:
        while True:
            ping = {"t_s": parked.installation.now_s(), **BRYANT_PARK, **next(fixes)}
            answer = await parked.post("/v1/drivers/me/pings", {"pings": [ping]})
            assert answer.status_code == 202, answer.text
            await asyncio.sleep(every_s)

    async with parked.stream() as told, silent.stream() as told_silent:
        for driver in (parked, silent):
            assert (await driver.post("/v1/drivers/me/status", {"status": "online"})).status_code == 200
        await silent.report_place(TIMES_SQUARE)  # nearer, and never again
        repeating = asyncio.create_task(repeat_the_fix())
        try:
            await asyncio.sleep(wait_s)
            ride_id = await rider.request_ride()
            offer = await told.event("OfferSent", ride_id=ride_id)
            assert (await parked.accept(offer)).status_code == 200
            assert not repeating.done()
        finally:
            repeating.cancel()
            await asyncio.gather(repeating, return_exceptions=True)
        assert "OfferSent" not in told_silent.events
