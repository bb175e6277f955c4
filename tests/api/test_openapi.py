"""The OpenAPI document matches the API's behaviour, and its page works offline."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.installation import TRIP, Driver, People, Person, Rider, assert_problem
from tests.api.witness import Witness

pytestmark = pytest.mark.servers

#: Values of every JSON type, and at the edges of what numbers and texts can be.
ODD_VALUES: Any = (None, True, -1, 0, 1.5, 10**400, 1e308, "", "x" * 5000, "\u0000", "\u202e\U0001f695", [], {}, [[]])


def mutations(schema: dict[str, Any], valid: dict[str, Any], witness: Witness) -> Iterator[dict[str, Any]]:
    """Bodies that differ from a valid one in one place."""
    yield {**valid, "unknown": 1}
    for name, inner in witness.resolve(schema).get("properties", {}).items():
        yield {key: value for key, value in valid.items() if key != name}
        for odd in ODD_VALUES:
            yield {**valid, name: odd}
        if isinstance(valid.get(name), dict):
            for mutated in mutations(inner, valid[name], witness):
                yield {**valid, name: mutated}


def request_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the JSON that the operation takes, without the null of an optional one."""
    if "requestBody" not in operation:
        return None
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return next((option for option in schema.get("anyOf", ()) if "$ref" in option), schema)


async def valid_body(path: str, people: People, rider: Any) -> dict[str, Any]:
    ping = {"t_s": people.installation.now_s(), "lat_deg": 40.7536, "lng_deg": -73.9832, "speed_mps": 3.0}
    bodies: dict[str, dict[str, Any]] = {
        "/v1/quotes": dict(TRIP),
        "/v1/drivers/me/status": {"status": "offline", "seats": 4},
        "/v1/drivers/me/pings": {"pings": [ping]},
        "/v1/rides/{ride_id}/rating": {"stars": 5},
        "/v1/ops/tokens/revoke": {"token_id": "none", "reason": "a drill"},
        "/v1/rides/{ride_id}/dropped-off": {"dropoff": TRIP["dropoff"]},
        "/v1/ops/rides/{ride_id}/end": {"reason": "a drill", "fare_cents": 500},
        "/v1/ops/rides/{ride_id}/correct": {"reason": "a drill", "fare_cents": 500, "dropoff": TRIP["dropoff"]},
    }
    if path == "/v1/rides":
        return {"quote_id": await rider.quote()}
    return bodies.get(path, {"reason": "because"})


def person_for(path: str, people: People, rider: Person) -> Person:
    if path.startswith("/v1/ops"):
        return people.operator()
    is_riders = path.startswith(("/v1/quotes", "/v1/rides")) and not path.endswith(("arrived", "up", "off", "no-show"))
    return rider if is_riders else people.driver()


async def test_every_operation_answers_mutated_requests_as_it_declares(people: People, witness: Witness) -> None:
    sent = 0
    for path, item in witness.document["paths"].items():
        for method, operation in item.items():
            schema = request_schema(operation)
            if schema is None:
                continue
            url = path.format(ride_id=uuid.uuid4().hex, offer_id="none-1")
            rider = people.rider()  # one for each operation: what a person may send in ten seconds is limited
            person = person_for(path, people, rider)
            for body in mutations(schema, await valid_body(path, people, rider), witness):
                headers = {"Idempotency-Key": uuid.uuid4().hex}
                answer = await person.post(url, body, **headers)
                assert answer.status_code < 500, f"{method} {path} {body}: {answer.text}"
                sent += 1
                if path == "/v1/rides" and answer.status_code == 201:
                    rider.rides.append(answer.json()["ride_id"])
    assert sent > 200


async def operators_hold_a_list(driver: Driver, operator: Person) -> None:
    """Every route of the list of who may drive."""
    await operator.post("/v1/ops/drivers/add", {"driver_ids": [driver.id]})
    await operator.get("/v1/ops/drivers")
    await operator.post("/v1/ops/drivers/remove", {"driver_id": driver.id})
    await operator.post("/v1/ops/drivers/open")


async def operators_intervene(people: People, rider: Rider, operator: Person) -> None:
    """Every route by which operators change rides, and the driver's word after an operator's that nobody came."""
    drill, ops = {"reason": "a drill"}, "/v1/ops/rides"
    driver = people.driver()
    ride_id = await rider.request_ride()
    async with driver.on_shift() as told:
        await driver.take(told)
        await operator.get(f"{ops}/{ride_id}")
        await operator.post(f"{ops}/{ride_id}/reassign", drill)
    driver = people.driver()
    async with driver.on_shift() as told:
        await driver.take(told)
        await driver.step(ride_id, "arrived")
        await operator.post(f"{ops}/{ride_id}/end", drill)
        await driver.post(f"/v1/rides/{ride_id}/no-show")
    await operator.post(f"{ops}/{ride_id}/correct", drill | {"fare_cents": 100})
    await operator.post(f"{ops}/{await rider.request_ride()}/cancel", drill)
    await operator.get(f"{ops}/{ride_id}/interventions")
    await operator.get("/v1/ops/interventions")


async def operators_hold_the_list_of_drivers(operator: Person) -> None:
    """The operations on who may drive; in the end everybody may, as before."""
    await operator.post("/v1/ops/drivers/add", {"driver_ids": ["listed"]})
    await operator.get("/v1/ops/drivers")
    await operator.post("/v1/ops/drivers/remove", {"driver_id": "listed"})
    await operator.post("/v1/ops/drivers/open")


async def test_every_operation_succeeds_as_it_declares(people: People, witness: Witness) -> None:
    witness.succeeded.clear()
    rider, driver, other, operator = people.rider(), people.driver(), people.driver(), people.operator()
    for path in ("/healthz", "/readyz", "/v1/ops/health", "/metrics", "/.well-known/jwks.json"):
        await people.http.get(path)
    for what in ("city", "city/roads", "figures", "totals", "tariff", "acceptance", "traffic", "flags"):
        await operator.get(f"/v1/ops/{what}")
    await operator.get("/v1/surge?cell=882a100d65fffff")
    await operator.get("/v1/ops/surge/history?cell=882a100d65fffff")
    for brake in ("freeze", "unfreeze"):
        await operator.post(f"/v1/ops/surge/{brake}", {"reason": "a drill"})
    await operator.get("/v1/ops/surge/orders")
    await operator.post("/v1/ops/tokens/revoke", {"role": "rider", "subject": "nobody", "reason": "a drill"})
    await operator.get("/v1/ops/tokens/revocations")
    await operators_hold_the_list_of_drivers(operator)
    await rider.get("/v1/drivers/nearby", params=TRIP["pickup"])
    await driver.get("/v1/drivers/me/advice")
    await driver.report_place()
    ride_id = await rider.request_ride()
    async with other.on_shift() as told:
        offer = await told.event("OfferSent", ride_id=ride_id)
        await other.post(f"/v1/offers/{offer['offer_id']}/decline")
    await operator.get(f"/v1/ops/rides/{ride_id}/trace")
    async with driver.on_shift() as told:
        await driver.take(told)
        await rider.ride(ride_id)
        await driver.step(ride_id, "arrived", "picked-up", "dropped-off")
        await driver.get(f"/v1/drivers/me/rides/{ride_id}/earnings")
        await rider.post(f"/v1/rides/{ride_id}/rating", {"stars": 5})
    await rider.post(f"/v1/rides/{await rider.request_ride()}/cancel")
    await operators_intervene(people, rider, operator)
    await operators_hold_a_list(driver, operator)
    operations = {(method, path) for path, item in witness.document["paths"].items() for method in item}
    # Nobody can sign in where no issuer is trusted: tests/api/auth has one.
    assert operations - witness.succeeded == {("post", "/v1/sessions")}
    assert witness.succeeded <= operations


async def test_every_operation_declares_its_problems(witness: Witness) -> None:
    for path, item in witness.document["paths"].items():
        for method, operation in item.items():
            assert {"4XX", "500", "503"} <= set(operation["responses"]), f"{method} {path}"
            assert operation["summary"]
            secured = bool(operation.get("security"))
            needs_token = path.startswith("/v1/") and path not in ("/v1/sessions", "/v1/ops/health")
            assert secured == needs_token, f"{method} {path}"
    replayed = witness.document["paths"]["/v1/rides"]["post"]["responses"]["201"]["headers"]
    assert "Idempotency-Replayed" in replayed


async def test_every_operation_is_named_after_its_audience(witness: Witness) -> None:
    document = witness.document
    audiences = [tag["name"] for tag in document["tags"]]
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert set(operation["tags"]) <= set(audiences), operation["operationId"]
        assert operation["operationId"].startswith(f"{operation['tags'][0]}_")


async def test_the_description_has_no_reference_that_leads_nowhere(witness: Witness) -> None:
    named = set(re.findall(r"'#/components/schemas/(\w+)'", repr(witness.document)))
    assert named <= set(witness.document["components"]["schemas"])


async def test_the_documentation_needs_no_internet(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.status_code == 200
    assert re.findall(r"https?://[^\s\"'<>]+", page.text) == []
    assets = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    assert len(assets) >= 2
    for asset in assets:
        assert (await http.get(asset)).status_code == 200
    assert_problem(await http.get("/redoc"), 404, "no_such_route")


async def test_the_openapi_document_describes_the_streams(witness: Witness) -> None:
    description = witness.document["info"]["description"]
    for word in ("/v1/riders/me/stream", "/v1/drivers/me/stream", "last_seen", "4401", "4403", "4409", "bearer."):
        assert word in description
