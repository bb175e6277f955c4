"""The API's behaviour while a backing server is unavailable, and after unexpected errors."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import replace

import pytest
import redis.asyncio

from api import inboxes
from dispatch import commands as cmd
from dispatch.ports import Outcome
from kernel.contracts import redis_keys
from tests.api.installation import TRIP, Driver, People, Rider, Valkey, assert_problem
from tests.api.served import Served
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.servers

#: Fencing tokens of leases, as the matcher would have taken them.
TOKENS = itertools.count(1)


async def offered_ride(served: Served, rider: Rider, driver: Driver) -> tuple[str, str]:
    """A ride that is offered to the driver, as the matcher would have done it; returns its id and the offer's."""
    ride_id = await rider.request_ride()
    outcome: Outcome = await served.edges.rider.rides.handle(cmd.SendOffer(ride_id, driver.id, next(TOKENS), 60.0))
    assert outcome.ride.offer is not None
    return ride_id, outcome.ride.offer.offer_id


async def test_without_redis_a_ride_goes_on_and_a_quote_is_told_to_wait(
    served: Served, served_people: People, own_valkey: Valkey
) -> None:
    rider, driver = served_people.rider(), served_people.driver()
    await driver.post("/v1/drivers/me/status", {"status": "online"})
    ride_id, offer_id = await offered_ride(served, rider, driver)
    own_valkey.kill()

    for _ in range(3):
        answer = await rider.post("/v1/quotes", TRIP)
        problem = assert_problem(answer, 503, "part_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "127.0.0.1" not in problem["detail"]
    assert_problem(await rider.get("/v1/surge?cell=882a100d65fffff"), 503, "part_unavailable")
    shared = await served_people.http.get("/v1/ops/health")
    assert (shared.status_code, shared.json()["status"]) == (503, "failing")
    assert shared.json()["checks"]["sql"] == "ok"
    assert shared.json()["checks"]["redis"].startswith("failing")
    # A balancer goes on sending what needs no Redis: else one server that is away would take every API out.
    for path in ("/healthz", "/readyz"):
        assert (await served_people.http.get(path)).status_code == 200

    accepted = await driver.post(f"/v1/offers/{offer_id}/accept")
    assert (accepted.status_code, accepted.json()["state"]) == (200, "ASSIGNED")
    await driver.report_place()
    assert (await driver.step(ride_id, "arrived", "picked-up", "dropped-off"))["state"] == "COMPLETED"
    ride_id, offer_id = await offered_another(served, rider, driver)
    assert (await driver.post(f"/v1/offers/{offer_id}/decline")).json()["state"] == "REQUESTED"
    assert (await rider.post(f"/v1/rides/{ride_id}/cancel")).json()["state"] == "CANCELLED"

    own_valkey.start()
    assert (await rider.post("/v1/quotes", TRIP)).status_code == 201
    assert (await served_people.http.get("/v1/ops/health")).status_code == 200


async def offered_another(served: Served, rider: Rider, driver: Driver) -> tuple[str, str]:
    """The same for a rider who had a quote before Redis went away: the request itself needs SQL alone."""
    ride_id = "another-ride"
    first = await served.edges.operator.rides.find_ride(rider.rides[0])
    assert first is not None
    request = cmd.RequestRide(
        ride_id=ride_id,
        region_id="manhattan",
        rider_id=rider.id,
        quote_id="another",
        pickup=first.pickup,
        dropoff=first.dropoff,
        seats=1,
        fare_cents=700,
        currency="USD",
    )
    await served.edges.rider.rides.handle(request)
    outcome = await served.edges.rider.rides.handle(cmd.SendOffer(ride_id, driver.id, next(TOKENS), 60.0))
    assert outcome.ride.offer is not None
    return ride_id, outcome.ride.offer.offer_id


async def test_many_requests_while_redis_dies_are_all_answered(
    served: Served, served_people: People, own_valkey: Valkey
) -> None:
    async def ask() -> set[int]:
        rider = served_people.rider()  # one person may not leave 128 quotes unanswered
        return {(await rider.post("/v1/quotes", TRIP)).status_code for _ in range(8)}

    asking = [asyncio.create_task(ask()) for _ in range(16)]
    await asyncio.sleep(0.1)
    own_valkey.kill()
    codes = set[int]().union(*await asyncio.gather(*asking))
    assert 503 in codes
    assert codes <= {201, 503}


async def test_a_stream_outlives_redis_and_tells_what_comes_after(
    served: Served, served_people: People, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "LOOK_AGAIN_S", 0.2)
    rider = served_people.rider()
    async with rider.stream() as stream:
        own_valkey.kill()
        await stream.say({"type": "ping"})
        assert await stream.frame() == {"type": "pong"}
        own_valkey.start()
        inbox = redis_keys.inbox(f"rider:{rider.id}")
        async with asyncio.timeout(PATIENCE_S):
            async with redis.asyncio.Redis(port=own_valkey.port) as client:
                await client.xadd(inbox, {"payload": '{"event":"RideRequested","ride_id":"r"}'}, id="7-0")
        assert (await stream.frame())["seq"] == 7
    async with rider.stream(last_seen=6) as stream:
        assert (await stream.frame())["seq"] == 7


async def test_pings_are_told_to_wait_when_the_broker_does_not_answer(
    served: Served, served_people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody_listens(group: object) -> None:
        raise ConnectionError("nobody listens")

    monkeypatch.setattr(served.edges.feeds.gateway._log, "append", nobody_listens)
    driver = served_people.driver()
    ping = {"t_s": served.now_s(), "lat_deg": 40.7536, "lng_deg": -73.9832}
    answer = await driver.post("/v1/drivers/me/pings", {"pings": [ping]})
    assert_problem(answer, 503, "ping_log_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    async with driver.stream() as stream:
        await stream.say({"type": "pings", "pings": [ping]})
        frame = await stream.frame()
        assert (frame["type"], frame["code"]) == ("error", "ping_log_unavailable")


async def test_an_unforeseen_error_is_a_problem_with_an_id_that_stands_in_the_log(
    served: Served, served_people: People, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken() -> object:
        raise ValueError("the secret inside")

    served.app.state.live._edges = replace(served.edges.picture, figures=broken)
    with caplog.at_level(logging.ERROR):
        answer = await served_people.operator().get("/v1/ops/figures")
    problem = assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    logged = caplog.text + capsys.readouterr().out
    assert problem["error_id"] in logged
    assert "the secret inside" in logged
    counted = (await served_people.http.get("/metrics")).text
    assert 'hexhail_api_requests_total{method="GET",route="/v1/ops/figures",status="500"} 1.0' in counted
