"""Quotes become rides, each one ride at most."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatch.errors import IdempotencyConflict, QuoteUsed
from geo.places import Places
from kernel.idempotency import IdempotencyKey
from pricing.errors import QuoteExpired, QuoteOfAnotherRider, QuoteOffMap
from tests.dispatch.maps import backwards, without_first
from tests.workflows.town import DROPOFF, GRAPH, PICKUP, REGION, Town
from workflows.receipts import receipt_of


def key(name: str, body: str = "body", rider_id: str = "alice") -> IdempotencyKey:
    return IdempotencyKey.of_body(f"rider:{rider_id}", name, body)


async def test_a_ride_keeps_the_price_of_its_quote_and_how_it_came_about(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 2)
    ride = (await town.requests.request("alice", signed.text, key("one"))).ride
    quote = signed.quote
    assert (ride.quote_id, ride.rider_id, ride.seats) == (quote.quote_id, "alice", 2)
    assert (ride.fare_cents, ride.currency, receipt_of(ride)) == (quote.price_cents, quote.currency, quote.receipt)
    assert (ride.pickup, ride.dropoff) == quote.places


async def test_a_repeated_request_is_the_same_ride_also_after_the_quote_has_expired(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    first = await town.requests.request("alice", signed.text, key("one"))
    again = await town.requests.request("alice", signed.text, key("one"))
    town.clock.now_s = signed.quote.expires_s + 1.0
    late = await town.requests.request("alice", signed.text, key("one"))
    assert [outcome.is_replay for outcome in (first, again, late)] == [False, True, True]
    assert first.ride == again.ride == late.ride


async def test_an_expired_quote_begins_no_ride(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    town.clock.now_s = signed.quote.expires_s + 1.0
    with pytest.raises(QuoteExpired):
        await town.requests.request("alice", signed.text, key("one"))


async def test_a_quote_becomes_one_ride(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    await town.requests.request("alice", signed.text, key("one"))
    with pytest.raises(QuoteUsed):
        await town.requests.request("alice", signed.text, key("two"))


async def test_a_key_with_another_body_is_refused_also_after_the_quote_has_expired(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    await town.requests.request("alice", signed.text, key("one"))
    for now_s in (town.clock.now_s, signed.quote.expires_s + 1.0):
        town.clock.now_s = now_s
        with pytest.raises(IdempotencyConflict):
            await town.requests.request("alice", signed.text, key("one", "another body"))


async def test_another_riders_quote_begins_no_ride(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    with pytest.raises(QuoteOfAnotherRider):
        await town.requests.request("bob", signed.text, key("one", rider_id="bob"))


async def test_a_quote_of_another_map_keeps_its_price_and_is_taken_to_this_one(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    own = Places.of(backwards(GRAPH), REGION.off_road_m_max)
    requests = replace(town.requests, places=own)
    ride = (await requests.request("alice", signed.text, key("one"))).ride
    assert (ride.fare_cents, receipt_of(ride)) == (signed.quote.price_cents, signed.quote.receipt)
    assert (ride.pickup.node, ride.dropoff.node, ride.map_id) == (GRAPH.node_count - 1, 81, own.map_id)
    assert (ride.pickup.lat_deg, ride.pickup.lng_deg) == (PICKUP.lat_deg, PICKUP.lng_deg)


async def test_a_quote_of_this_map_is_taken_at_its_nodes(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    assert signed.quote.map_id == Places.of(GRAPH).map_id
    requests = replace(town.requests, places=Places.of(GRAPH))
    ride = (await requests.request("alice", signed.text, key("one"))).ride
    assert (ride.pickup, ride.dropoff) == signed.quote.places


async def test_a_quote_to_where_no_road_leads_any_more_is_refused_in_words(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    requests = replace(town.requests, places=Places.of(without_first(GRAPH, 70), REGION.off_road_m_max))
    with pytest.raises(QuoteOffMap, match="the quoted pickup is near no road any more"):
        await requests.request("alice", signed.text, key("one"))


async def test_an_answer_that_was_given_before_the_map_changed_stays_the_answer(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 1)
    ride = (await town.requests.request("alice", signed.text, key("one"))).ride
    requests = replace(town.requests, places=Places.of(without_first(GRAPH, 70), REGION.off_road_m_max))
    again = await requests.request("alice", signed.text, key("one"))
    assert (again.ride, again.is_replay) == (ride, True)
