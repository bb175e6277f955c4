"""Tariffs for the tests: a plain one, and a Hypothesis strategy for any valid one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pricing.model.tariff import (
    PLACES,
    ROUNDINGS,
    SURGEABLE,
    TAX_ROUNDINGS,
    AtDropoff,
    DriverShare,
    Surcharge,
    Tariff,
    Tax,
)

TAXI = Tariff("USD", base_cents=250, per_km_cents=125, per_minute_cents=35, minimum_cents=700, rounding_cents=1)

cents = st.integers(0, 2_000)
percents = st.integers(0, 1_000_000).map(lambda units: units / 10_000)
taxes = st.builds(
    Tax, rate_percent=percents, is_included=st.booleans(), rounded_per=st.sampled_from(TAX_ROUNDINGS)
)  # fmt: skip
drivers = st.builds(DriverShare, commission_percent=percents, surge_commission_percent=st.none() | percents)
at_dropoffs = st.builds(
    AtDropoff,
    time_tolerance_share=st.floats(0.0, 1.0),
    time_tolerance_s=st.floats(0.0, 600.0),
    above_quote_share_max=st.floats(0.0, 2.0),
    waiting_free_s=st.floats(0.0, 300.0),
    waiting_per_minute_cents=st.integers(0, 100),
)


surged_lines = st.lists(st.sampled_from(SURGEABLE), unique=True).map(
    lambda names: tuple(names) if {"distance", "time"} <= set(names) else tuple(set(names) - {"minimum"})
)


@st.composite
def _surcharges(draw: st.DrawFn) -> tuple[Surcharge, ...]:
    drawn = []
    for number in range(draw(st.integers(0, 3))):
        share = draw(percents)
        amount: dict[str, Any] = {"percent": share} if share else {"amount_cents": draw(st.integers(1, 900))}
        flags = {"is_taxed": draw(st.booleans()), "is_drivers": draw(st.booleans())}
        drawn.append(Surcharge(f"s{number}", at=draw(st.sampled_from(PLACES)), **amount, **flags))
    return tuple(drawn)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    """Any tariff without zones."""
    unit = draw(st.sampled_from([1, 5, 10, 25, 100, 7]))
    return Tariff(
        draw(st.sampled_from(["USD", "JPY", "KWD"])),
        base_cents=draw(cents),
        per_km_cents=draw(cents),
        per_minute_cents=draw(cents),
        minimum_cents=unit * draw(st.integers(0, 100)),
        rounding_cents=unit,
        rounding=draw(st.sampled_from(ROUNDINGS)),
        booking_fee_cents=draw(st.integers(0, 300)),
        surge_on=draw(surged_lines),
        tax=draw(st.none() | taxes),
        surcharges=draw(_surcharges()),
        at_dropoff=draw(st.none() | at_dropoffs),
        driver=draw(drivers),
    )
