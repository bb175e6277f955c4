"""A ride's trace in words, as an operator reads it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from dispatch.adapters.redis_traces import RedisTraceLog
from dispatch.matching.reasons import CandidateTrace, Reason, RideTrace
from dispatch.matching.trace_text import trace_lines
from tests.hexhail.command_line import hexhail_process

ROUND = RideTrace(
    ride_id="ride",
    at_s=1_700_000_000.0,
    policy="optimal",
    n_drivers=9,
    not_chosen={"stale_position": 2, "out_of_reach": 4, "better_used_elsewhere": 1, "another_suited_better": 1},
    asked="dora",
    candidates=[
        CandidateTrace("dora", 62.4, 851.6, {"pickup": 837.6, "waited": 14.0, "position": 0.0}, None),
        CandidateTrace("emil", 90.0, 800.0, {"pickup": 810.0, "waited": 14.0, "position": -24.0},
                       Reason.ANOTHER_SUITED_BETTER),
        CandidateTrace("fay", 30.0, 884.0, {"pickup": 870.0, "waited": 14.0}, Reason.BETTER_USED_ELSEWHERE),
    ],
)  # fmt: skip
NOBODY = RideTrace(
    "ride", 1_699_999_998.0, "mine", 1, {"too_few_seats": 1}, None, [], ("policy mine: raised an error",)
)


def test_a_round_is_listed_from_the_asked_driver_to_the_reasons_of_the_others() -> None:
    assert list(trace_lines([ROUND], lambda at_s: f"at {at_s:.0f}")) == [
        "at 1700000000  asked dora, of 9 drivers seen, by policy optimal",
        "  → dora  62 s away, score 851.6 = pickup 837.6 + waited 14.0",
        "    emil  90 s away, score 800.0 = pickup 810.0 + waited 14.0 - position 24.0",
        "      stayed free: the round chose another driver for the ride",
        "    fay  30 s away, score 884.0 = pickup 870.0 + waited 14.0",
        "      asked for another ride in the same round",
        "  2 more: free, but silent for too long to know where",
        "  4 more: would need longer to the pickup than is allowed",
    ]


def test_every_driver_of_a_round_is_counted_once() -> None:
    told = list(trace_lines([ROUND], str))[1:]
    counted = sum(int(line.split()[0]) for line in told if " more: " in line)
    assert counted + sum(" away, " in line for line in told) == ROUND.n_drivers


def test_a_round_in_which_nobody_was_asked_says_why() -> None:
    assert list(trace_lines([NOBODY], lambda at_s: "then")) == [
        "then  nobody was asked, of 1 driver seen, by policy mine",
        "  fault: policy mine: raised an error",
        "  1 more: free, but the car is too small",
    ]


@pytest.mark.servers
async def test_an_operator_reads_a_trace_on_the_command_line(empty_redis: Redis, valkey_port: int) -> None:
    env = {"HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0"}
    missing = hexhail_process("trace", "ride", **env)
    assert missing.returncode == 1
    assert "nothing is known of a ride ride in manhattan" in missing.stderr
    await RedisTraceLog(empty_redis, "manhattan").write([NOBODY])
    await RedisTraceLog(empty_redis, "manhattan").write([ROUND])
    said = hexhail_process("trace", "ride", "--rounds", "1", **env).stdout.splitlines()
    assert said[0] == "2023-11-14 17:13:20-05:00  asked dora, of 9 drivers seen, by policy optimal"
    assert said[-1] == "1 earlier rounds: --rounds 2"
