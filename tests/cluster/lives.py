"""People who ride and drive while servers are taken away, and what they were answered."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.api.installation import TRIP, Driver, People, Rider
from tests.patience import PATIENCE_S, eventually, until


@dataclass
class Witness:
    """What people were answered."""

    codes: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    keys: int = 0
    completed: int = 0

    async def saw(self, response: httpx.Response) -> None:
        self.codes[response.status_code] += 1
        await response.aread()
        is_told = response.status_code == 503 and int(response.headers.get("retry-after", "0")) >= 1
        if response.status_code >= 500 and not is_told:
            self.faults.append(f"{response.request.url.path}: {response.status_code} {response.text}")


async def insisting(person: Rider | Driver, path: str, body: Any = None) -> httpx.Response:
    """Send a request with a key, and again with the same one while the answer is 503."""
    name = uuid.uuid4().hex
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await person.post(path, body, **{"Idempotency-Key": name})).status_code == 503:
            await asyncio.sleep(0.2)
    return answer


async def ride_again_and_again(people: People, seen: Witness) -> None:
    """A new rider for each ride, until cancelled."""
    while True:
        rider = people.rider()
        answer = await insisting(
            rider, "/v1/quotes", {"pickup": TRIP["pickup"], "dropoff": TRIP["dropoff"], "seats": 1}
        )
        assert answer.status_code == 201, answer.text
        seen.keys += 1
        answer = await insisting(rider, "/v1/rides", {"quote_id": answer.json()["quote_id"]})
        assert answer.status_code == 201, answer.text
        ride_id = answer.json()["ride_id"]
        seen.acknowledged.add(ride_id)

        async def is_over(rider: Rider = rider, ride_id: str = ride_id) -> bool:
            read = await rider.get(f"/v1/rides/{ride_id}")
            return read.status_code == 200 and read.json()["state"] in ("COMPLETED", "EXPIRED", "CANCELLED")

        await eventually(is_over, 0.2)


async def drive_again_and_again(driver: Driver, seen: Witness) -> None:
    async with driver.on_shift() as stream:
        while True:
            offer = await stream.event("OfferSent")
            answer = await insisting(driver, f"/v1/offers/{offer['offer_id']}/accept")
            if answer.status_code != 200:  # too late
                continue
            for step in ("arrived", "picked-up", "dropped-off"):
                answer = await insisting(driver, f"/v1/rides/{offer['ride_id']}/{step}")
                assert answer.status_code == 200, answer.text
            seen.completed += 1


async def lives_until(lives: list[asyncio.Task[None]], condition: Any) -> None:
    """Wait for a condition; raises what ended one of the lives."""
    waiting = asyncio.create_task(until(condition))
    done, _ = await asyncio.wait([waiting, *lives], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    await waiting
