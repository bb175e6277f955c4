from __future__ import annotations

import base64
import json
from dataclasses import asdict, replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.keyring import KeyRing
from kernel.points import Point
from pricing.adapters.signed_quotes import AUDIENCE, SIGNED_LENGTH_MAX, VERSION, QuoteSigner
from pricing.errors import QuoteExpired, QuoteForged, QuoteOfAnotherRider, QuoteUnusable, QuoteVersionUnknown
from pricing.model.quotes import Line, Quote
from pricing.model.tariff import SURCHARGES_MAX

KEY, OLD_KEY, FOREIGN_KEY = "k" * 32, "o" * 32, "f" * 32
SIGNER = QuoteSigner(KeyRing({"2": KEY, "1": OLD_KEY}))
NOW_S = 1_400_000_000.0
QUOTE = Quote(
    quote_id="q-1",
    region_id="grid",
    rider_id="rider",
    pickup=Point(40.751, -73.981),
    dropoff=Point(40.761, -73.971),
    pickup_node=3,
    dropoff_node=33,
    seats=2,
    price_cents=1234,
    currency="USD",
    surge_multiplier=1.1,
    distance_m=2345.678901234,
    travel_time_s=321.1,
    tariff_version="0123456789abcdef",
    lines=(Line("base", 250), Line("distance", 1000), Line("rounding", -16)),
    tax_cents=102,
    issued_s=NOW_S,
    expires_s=NOW_S + 300.0,
)


def signed(payload: object, key: str = KEY, kid: object = "2", algorithm: str = "HS256") -> str:
    return jwt.encode(payload, key, algorithm, headers={"kid": kid})


def payload(**changes: Any) -> dict[str, Any]:
    return {"aud": AUDIENCE, "version": VERSION, "quote": {**asdict(QUOTE), **changes}}


@given(
    st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1e7), st.integers(0, 10**9), st.text(min_size=1, max_size=50)
)
def test_a_signed_quote_comes_back_as_it_was(
    lat_deg: float, lng_deg: float, distance_m: float, price_cents: int, rider_id: str
) -> None:
    quote = replace(
        QUOTE, pickup=Point(lat_deg, lng_deg), distance_m=distance_m, price_cents=price_cents, rider_id=rider_id
    )
    assert SIGNER.verify(SIGNER.sign(quote), NOW_S, rider_id=rider_id) == quote


def test_a_quote_with_all_the_surcharges_there_may_be_fits_into_a_request() -> None:
    lines = tuple(Line(f"surcharge:{number:032}", 10**7) for number in range(SURCHARGES_MAX))
    names = ("base", "distance", "time", "minimum", "surge", "booking_fee", "tax", "rounding")
    quote = replace(QUOTE, lines=(*lines, *(Line(name, 10**7) for name in names)), rider_id="r" * 200)
    text = SIGNER.sign(quote)
    assert len(text) < SIGNED_LENGTH_MAX
    assert SIGNER.verify(text, NOW_S, rider_id=quote.rider_id) == quote


def test_a_quote_holds_until_it_expires_by_city_time() -> None:
    text = SIGNER.sign(QUOTE)
    assert SIGNER.verify(text, QUOTE.expires_s - 0.001, rider_id="rider") == QUOTE
    with pytest.raises(QuoteExpired, match="expired 20 s ago"):
        SIGNER.verify(text, QUOTE.expires_s + 20.0, rider_id="rider")
    with pytest.raises(QuoteExpired):
        SIGNER.verify(text, QUOTE.expires_s, rider_id="rider")


def test_another_rider_cannot_use_it() -> None:
    with pytest.raises(QuoteOfAnotherRider):
        SIGNER.verify(SIGNER.sign(QUOTE), NOW_S, rider_id="somebody")


def test_a_quote_signed_with_the_key_before_still_holds() -> None:
    old = QuoteSigner(KeyRing({"1": OLD_KEY})).sign(QUOTE)
    assert SIGNER.verify(old, NOW_S, rider_id="rider") == QUOTE
    with pytest.raises(QuoteForged, match="a key that is not in use"):
        QuoteSigner(KeyRing({"2": KEY})).verify(old, NOW_S, rider_id="rider")


def test_the_first_key_signs() -> None:
    assert jwt.get_unverified_header(SIGNER.sign(QUOTE)) == {"alg": "HS256", "kid": "2", "typ": "JWT"}


def test_changing_any_character_is_noticed() -> None:
    text = SIGNER.sign(QUOTE)
    # The last character of each part may carry bits that base64 ignores.
    ends = {len(text) - 1} | {place - 1 for place, character in enumerate(text) if character == "."}
    for place in sorted(set(range(0, len(text), 7)) - ends):
        other = "A" if text[place] != "A" else "B"
        with pytest.raises(QuoteUnusable):
            SIGNER.verify(text[:place] + other + text[place + 1 :], NOW_S, rider_id="rider")


def test_a_lower_price_put_into_a_true_quote_is_noticed() -> None:
    head, _, signature = SIGNER.sign(QUOTE).split(".")
    cheap = base64.urlsafe_b64encode(json.dumps(payload(price_cents=1)).encode()).rstrip(b"=").decode()
    with pytest.raises(QuoteForged, match="its signature does not fit"):
        SIGNER.verify(f"{head}.{cheap}.{signature}", NOW_S, rider_id="rider")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="three parts of nothing"),
        pytest.param("é" * 30, id="not ascii"),
        pytest.param("\ud800.a.b", id="a lone surrogate"),
        pytest.param("A" * (SIGNED_LENGTH_MAX + 1), id="too long"),
        pytest.param(signed(payload(), key=FOREIGN_KEY), id="a foreign key under our key's name"),
        pytest.param(signed(payload(), kid="3"), id="an unknown key"),
        pytest.param(signed(payload(), key=KEY * 2, algorithm="HS512"), id="another algorithm"),
        pytest.param(signed({**payload(), "aud": "hexhail"}), id="a token for something else"),
        pytest.param(signed({"version": VERSION, "quote": asdict(QUOTE)}), id="no audience"),
        pytest.param(jwt.encode(payload(), KEY, "HS256"), id="no key named"),
        pytest.param(jwt.encode(payload(), "", "none", headers={"kid": "2"}), id="not signed at all"),
        pytest.param(signed(payload(price_cents="1")), id="a price that is text"),
        pytest.param(signed(payload(price_cents=-1)), id="a price below zero"),
        pytest.param(signed(payload(pickup={"lat_deg": 99.0, "lng_deg": 0.0})), id="a pickup off the globe"),
        pytest.param(signed({"aud": AUDIENCE, "version": VERSION}), id="no quote inside"),
    ],
)
def test_text_that_was_not_signed_here_is_refused_as_forged(text: str) -> None:
    with pytest.raises(QuoteForged) as raised:
        SIGNER.verify(text, NOW_S, rider_id="rider")
    assert raised.value.code == "quote_forged"
    assert raised.value.hint


@given(st.text(max_size=100))
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(QuoteForged):
        SIGNER.verify(text, NOW_S, rider_id="rider")


@pytest.mark.parametrize("version", [0, VERSION + 1, None, "1"])
def test_another_version_is_told_from_a_forgery(version: object) -> None:
    with pytest.raises(QuoteVersionUnknown, match=f"this service reads version {VERSION}"):
        SIGNER.verify(signed({**payload(), "version": version}), NOW_S, rider_id="rider")
