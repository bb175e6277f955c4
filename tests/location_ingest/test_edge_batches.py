"""The edge judges many batches at once as the rules judge them one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geo.arrays import FloatArray, IntArray
from location_ingest.columns import row_of
from location_ingest.edge_batches import PhoneBatch, judge_batches
from location_ingest.kernels import limits_of
from location_ingest.model import DriverPing, IngestParams, Reason, Refusal
from location_ingest.rules import known_speed_mps, order_reason, time_reason, wrong_field

NOW_S = 1_700_000_000.0
REGIONS = ["north", "south"]
PARAMS = IngestParams()

odd = st.sampled_from([None, 0.0, -1.0, 361.0, float("inf")])
pings = st.builds(
    DriverPing,
    driver_id=st.sampled_from("abc"),
    t_s=st.one_of(st.integers(-6, 2).map(lambda n: NOW_S + n / 2), st.sampled_from([NOW_S - 400, NOW_S + 11, np.nan])),
    lat_deg=st.sampled_from([41.0, -34.0, 89.0, 90.5, float("nan")]),
    lng_deg=st.sampled_from([-73.98, 181.0]),
    heading_deg=odd,
    speed_mps=odd,
)
batches = st.lists(
    st.tuples(st.lists(pings, min_size=1, max_size=5), st.sampled_from([NOW_S, NOW_S + 1.0])), max_size=8
)


def north_or_south(lat_deg: FloatArray, _: FloatArray) -> IntArray:
    """The poles belong to no region."""
    return np.where(np.abs(lat_deg) > 80.0, -1, np.where(lat_deg > 0, 0, 1))


def batch_of(found: list[DriverPing], now_s: float) -> PhoneBatch:
    drivers = sorted({ping.driver_id for ping in found})
    numbers = list(chain.from_iterable(map(row_of, found)))
    driver_of = [drivers.index(ping.driver_id) for ping in found] if len(drivers) > 1 else None
    return PhoneBatch(drivers, numbers, now_s, driver_of)


def as_sent(ping: DriverPing) -> DriverPing:
    """The ping without the odd values that mean unknown."""
    heading_deg = None if ping.heading_deg != 0.0 else 0.0
    return replace(ping, heading_deg=heading_deg, speed_mps=known_speed_mps(ping))


def plain_refusals(found: list[DriverPing], now_s: float, last_s: dict[str, float]) -> list[Refusal]:
    """Ping by ping, by the rules."""
    last_s = dict(last_s)
    refusals = []
    for at, ping in enumerate(found):
        found_wrong = wrong_field(ping)
        reason = found_wrong[1] if found_wrong else time_reason(ping.t_s, now_s, PARAMS)
        if reason is None and abs(ping.lat_deg) > 80.0:
            reason = Reason.OFF_REGION
        reason = reason or order_reason(ping.t_s, last_s.get(ping.driver_id))
        if reason is None:
            last_s[ping.driver_id] = ping.t_s
        else:
            refusals.append(Refusal.of(at, reason, found_wrong[0] if found_wrong else ""))
    return refusals


@given(batches, st.dictionaries(st.sampled_from("ab"), st.integers(-6, 2).map(lambda n: NOW_S + n / 2)))
def test_batches_side_by_side_are_judged_as_each_alone(found: Any, last_s: Any) -> None:
    judged = judge_batches([batch_of(*one) for one in found], limits_of(PARAMS), north_or_south)
    judged.judge_times({driver_id: round(t_s * 1e3) for driver_id, t_s in last_s.items()})
    plain = [plain_refusals(*one, last_s) for one in found]
    assert dict(judged.refused()) == {number: refusals for number, refusals in enumerate(plain) if refusals}


@given(batches, st.integers(1, 4))
def test_groups_hold_every_good_ping_that_is_sent_once_and_in_order(found: Any, pings_max: Any) -> None:
    judged = judge_batches([batch_of(*one) for one in found], limits_of(PARAMS), north_or_south)
    judged.judge_times({})
    refusals = dict(judged.refused())
    is_sent = np.array([number % 3 != 2 for number in range(len(found))], bool)
    sent = []
    for number, (one, _) in enumerate(found):
        bad = {refusal.at for refusal in refusals.get(number, ())}
        sent += [as_sent(ping) for at, ping in enumerate(one) if is_sent[number] and at not in bad]
    groups = [group for group, _ in judged.groups(is_sent, REGIONS, pings_max)]
    assert all(0 < len(group.driver_ids) <= pings_max for group in groups)
    for region_id, sign in zip(REGIONS, (1, -1), strict=True):
        own = [ping for group in groups if group.region_id == region_id for ping in group.pings]
        assert own == [ping for ping in sent if sign * ping.lat_deg > 0]


def test_last_times_are_requested_only_for_unknown_drivers_with_a_valid_ping_in_their_regions() -> None:
    north, south, nowhere = 41.0, -34.0, 89.0
    lats = {"known": [north], "new": [north, south], "lost": [nowhere]}
    all_of = [[DriverPing(name, NOW_S, lat_deg, 0.0) for lat_deg in found] for name, found in lats.items()]
    judged = judge_batches([batch_of(found, NOW_S) for found in all_of], limits_of(PARAMS), north_or_south)
    slots = judged.unknown_driver_slots({"known": 1})
    assert [judged.drivers[slot] for slot in slots] == ["new"]
    assert [judged.batch_of_slot(slot) for slot in slots] == [1]
    assert judged.regions_of(slots) == [(0, "new"), (1, "new")]
