"""Quotes with the time that a driver needs to the pickup."""

from __future__ import annotations

import pytest

from pricing.errors import NoTrip, QuoteOfAnotherRider
from tests.workflows.town import DROPOFF, PICKUP, Town


async def test_a_quote_names_the_drive_to_its_pickup(town: Town) -> None:
    assert (await town.quotes.quote("alice", PICKUP, DROPOFF, 1)).pickup_eta_s is None
    town.etas_s = {PICKUP: 50.0, DROPOFF: 70.0}
    assert (await town.quotes.quote("alice", PICKUP, DROPOFF, 1)).pickup_eta_s == 50.0
    assert (await town.quotes.quote("alice", DROPOFF, PICKUP, 1)).pickup_eta_s == 70.0


async def test_the_text_of_a_quote_is_the_quote_for_its_rider_alone(town: Town) -> None:
    signed = await town.quotes.quote("alice", PICKUP, DROPOFF, 2)
    assert town.requests.signing.verify(signed.text, town.clock(), rider_id="alice") == signed.quote
    assert (signed.quote.rider_id, signed.quote.seats) == ("alice", 2)
    with pytest.raises(QuoteOfAnotherRider):
        town.requests.signing.verify(signed.text, town.clock(), rider_id="bob")


async def test_a_trip_that_cannot_be_priced_is_refused(town: Town) -> None:
    with pytest.raises(NoTrip):
        await town.quotes.quote("alice", PICKUP, PICKUP, 1)
