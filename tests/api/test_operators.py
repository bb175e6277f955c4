"""What operators see of a driver and a request while a ride comes about."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.api.installation import BRYANT_PARK, TIMES_SQUARE, TRIP, People
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.servers


async def frame_in_which(socket: ClientConnection, driver_id: str, state: str) -> dict[str, Any]:
    """The first frame that shows the driver so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            drivers = frame["drivers"]
            if (driver_id, state) in zip(drivers["id"], drivers["state"], strict=True):
                return frame


async def test_the_map_follows_a_driver_through_a_ride(people: People) -> None:
    rider, driver, operator = people.rider(), people.driver(), people.operator()
    url = people.installation.url.replace("http", "ws") + "/v1/ops/stream"
    async with connect(url, additional_headers=operator.headers, proxy=None) as socket, driver.on_shift() as told:
        frame = await frame_in_which(socket, driver.id, "IDLE")
        at = frame["drivers"]["id"].index(driver.id)
        assert abs(frame["drivers"]["lat_deg"][at] - BRYANT_PARK["lat_deg"]) < 1e-6
        assert abs(frame["drivers"]["lng_deg"][at] - BRYANT_PARK["lng_deg"]) < 1e-6
        assert frame["figures"]["drivers_idle"] == 1

        ride_id = await rider.request_ride()
        offer = await told.event("OfferSent", ride_id=ride_id)
        frame = await frame_in_which(socket, driver.id, "OFFERED")
        request = next(request for request in frame["requests"] if request["ride_id"] == ride_id)
        assert {name: request[name] for name in TIMES_SQUARE} == TIMES_SQUARE
        assert (request["state"], frame["figures"]["requests_open"]) == ("OFFERED", len(frame["requests"]))

        assert (await driver.accept(offer)).status_code == 200
        await frame_in_which(socket, driver.id, "TO_PICKUP")
        await driver.step(ride_id, "arrived")
        await frame_in_which(socket, driver.id, "AT_PICKUP")
        await driver.step(ride_id, "picked-up")
        frame = await frame_in_which(socket, driver.id, "ON_TRIP")
        assert frame["figures"]["drivers_busy"] == 1
        completed = frame["figures"]["rides_completed"]
        await driver.step(ride_id, "dropped-off")
        await frame_in_which(socket, driver.id, "IDLE")
        async with asyncio.timeout(PATIENCE_S):
            while json.loads(await socket.recv())["figures"]["rides_completed"] != completed + 1:
                pass


async def test_an_operator_reads_the_tariff_that_quotes_are_given_by(people: People) -> None:
    quote = (await people.rider().post("/v1/quotes", TRIP)).json()
    tariff = (await people.operator().get("/v1/ops/tariff")).json()
    assert (tariff["region_id"], tariff["currency"], tariff["refusal"]) == ("manhattan", "USD", None)
    assert tariff["version"] == quote["tariff_version"]
    assert tariff["content"]["base_cents"] == next(line["cents"] for line in quote["lines"] if line["name"] == "base")


async def test_an_operator_reads_the_calibration_of_the_acceptance_model(people: People) -> None:
    body = (await people.operator().get("/v1/ops/acceptance")).json()
    assert body == {"answers": 0, "window": 0, "brier": None, "brier_of_mean": None, "deciles": []}
    assert (await people.rider().get("/v1/ops/acceptance")).status_code == 403


async def test_an_operator_reads_which_travel_times_count_and_riders_do_not(people: People) -> None:
    traffic = (await people.operator().get("/v1/ops/traffic")).json()
    assert (traffic["source"], traffic["version"], traffic["age_s"]) == ("free_flow", 0, None)
    assert (await people.rider().get("/v1/ops/traffic")).status_code == 403
