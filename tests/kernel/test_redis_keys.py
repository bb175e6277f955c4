"""The bytes of every key: stored data outlives the code that wrote it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from kernel.contracts import redis_keys

KEYS = {
    redis_keys.cell_prefix: "{r}:cell:",
    redis_keys.cell: "{r}:cell:882a100d65fffff",
    redis_keys.driver_index: "{r}:index",
    redis_keys.stale_drivers: "{r}:stale",
    redis_keys.rejected_pings: "{r}:rejected:jump",
    redis_keys.unbelieved: "{r}:unbelieved:d",
    redis_keys.totals: "{r}:totals",
    redis_keys.write_probe: "{r}:probe",
    redis_keys.counted: "{r}:counted:quotes:alice",
    redis_keys.flags: "{r}:flags",
    redis_keys.flag_quiet: "{r}:flags:quiet:quote_storm:alice",
    redis_keys.fence: "{r}:fence",
    redis_keys.driver_lease: "{r}:lease:driver:d",
    redis_keys.ride_lease: "{r}:lease:ride:i",
    redis_keys.rounds: "{r}:rounds",
    redis_keys.trace: "{r}:trace:i",
    redis_keys.acceptance: "{r}:acceptance",
    redis_keys.tariffs: "{r}:tariffs",
    redis_keys.surge: "{r}:surge",
    redis_keys.rides_counted: "{r}:pricing:seen",
    redis_keys.rides_counted_at: "{r}:pricing:seen_at",
    redis_keys.quotes_counted: "{r}:pricing:quotes_seen",
    redis_keys.quotes_counted_at: "{r}:pricing:quotes_seen_at",
    redis_keys.requests: "{r}:pricing:requests",
    redis_keys.quotes: "{r}:pricing:quotes",
    redis_keys.advice: "{r}:advice",
    redis_keys.advice_planned: "{r}:advice:planned",
    redis_keys.traffic: "{r}:traffic",
    redis_keys.maps: "{r}:maps",
    redis_keys.learned_aside: "{r}:learned_aside",
    redis_keys.request_rate: "rate:quote_storm:rider:alice",
    redis_keys.inbox_bucket: 0,
    redis_keys.inbox: "inbox:{00}:rider:alice",
    redis_keys.inboxes_complete: "inbox.complete:{07}",
    redis_keys.inboxes_rebuilding: "inbox.rebuilding:{07}",
    redis_keys.unbucketed_inbox: "inbox:rider:alice",
}
ARGUMENTS = {
    "region_id": "r", "cell_name": "882a100d65fffff", "reason": "jump", "driver_id": "d", "ride_id": "i",
    "name": "rider:alice", "what": "quotes", "kind": "quote_storm", "subject": "alice", "bucket": 7,
    "inbox_name": "rider:alice",
}  # fmt: skip


@pytest.mark.parametrize(("function", "key"), KEYS.items(), ids=[function.__name__ for function in KEYS])
def test_a_key_has_its_bytes(function: Any, key: Any) -> None:
    assert function(*(ARGUMENTS[name] for name in inspect.signature(function).parameters)) == key


def test_names_that_are_no_functions_have_their_bytes() -> None:
    names = {name: value for name, value in vars(redis_keys).items() if name.isupper()}
    assert names == {
        "PINGS_ACCEPTED": "pings_accepted",
        "PINGS_REJECTED_PREFIX": "pings_rejected:",
        "RIDE_EVENTS_CONSUMED": "ride_events_consumed",
        "QUOTES_CONSUMED": "quotes_consumed",
        "INBOX_BUCKETS": 64,
        "INBOXES_MATCH": "inbox:*",
        "INBOX_NEWS": "inbox.news",
        "INBOXES_RESTORED": "inbox.restored",
        "UNBUCKETED_INBOXES_COMPLETE": "inbox.complete",
        "REVOKED": "{tokens}:revoked",
        "REVOKED_UNTIL": "{tokens}:revoked:until",
        "REVOKED_VERSION": "{tokens}:revoked:version",
    }


def test_every_key_is_in_the_table() -> None:
    assert {function for _, function in inspect.getmembers(redis_keys, inspect.isfunction)} == set(KEYS)
