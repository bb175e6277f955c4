"""The nouns: a ping, why one is not believed, and the parameters of both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, NamedTuple

#: Ids become fields of keys and of messages: a longer one is a mistake or an attack.
ID_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class DriverPing:
    """One GPS report as received; `t_s` is the city time at which the phone took it.

    The numbers may be anything, the filter judges them; ValueError is raised for an id of no or too many characters.
    """

    driver_id: str
    t_s: float
    lat_deg: float
    lng_deg: float
    heading_deg: float | None = None
    speed_mps: float | None = None
    accuracy_m: float | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.driver_id) <= ID_CHARS_MAX:
            raise ValueError(f"driver_id must have 1 to {ID_CHARS_MAX} characters, not {len(self.driver_id)}")


class Reason(StrEnum):
    """Why a ping is not believed; exactly one each, the first that applies in this order."""

    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    FROM_THE_FUTURE = "from_the_future"
    TOO_OLD = "too_old"
    OFF_REGION = "off_region"
    DUPLICATE_TIME = "duplicate_time"
    OUT_OF_ORDER = "out_of_order"
    TOO_COARSE = "too_coarse"
    IMPOSSIBLE_JUMP = "impossible_jump"
    REPEATED_COORDINATES = "repeated_coordinates"


#: A ping that is not newer than one already believed: what every replay of a topic consists of.
NOT_NEWER = frozenset({Reason.DUPLICATE_TIME, Reason.OUT_OF_ORDER})


class Refusal(NamedTuple):
    """Which ping of a batch the edge refused, and why; `at` counts from 0."""

    at: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class PingGroup:
    """Pings of one region that travel as one message; `received_s` is the city time when the edge closed it."""

    region_id: str
    received_s: float
    pings: tuple[DriverPing, ...]


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as the log gave it, not yet decoded."""

    partition: int
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message nobody can use, why, and where it came from."""

    reason: str
    message: RawMessage


@dataclass(frozen=True, slots=True)
class RejectedPing:
    """A ping that was not believed, for an operator to look at; `judged_s` is the city time of the verdict."""

    reason: Reason
    judged_s: float
    ping: DriverPing


@dataclass(frozen=True, slots=True)
class IngestParams:
    """What is believed. Seconds are city seconds."""

    SECTION: ClassVar[str] = "ingest"

    #: Phones queue pings in tunnels and send them later; after this long they tell nothing about now.
    age_s_max: float = 300.0
    #: Phone clocks are set by their network to well under this. More would lock a driver out until that time came.
    future_skew_s_max: float = 10.0
    #: 180 km/h: no car in a city, also on average over the minute between two pings of a thrifty phone.
    speed_mps_max: float = 50.0
    #: Two fixes of a phone at rest differ by tens of metres between high buildings, however short the time between.
    jump_slack_m: float = 150.0
    #: Impossible pings that agree with one another are the truth, and the old track was wrong, if they are at least
    #: this many places in a row...
    jumps_to_recover: int = 3
    #: ...for at least this long.
    quarantine_s: float = 600.0
    #: A jump that ends so far out of reach was no error of a receiver: the wait does not end when a car could be there.
    far_jump_m: float = 4_000.0
    #: As fast as this no car stands at a light, whatever the phone's filter makes of its last metres.
    moving_mps_min: float = 3.0
    #: Pings in a row that may repeat the coordinates and say that the car moves: a receiver in a tunnel lags as much.
    moving_repeats_max: int = 3
    #: Pings without a speed may repeat the coordinates so often or so long, whichever is more. Of 15,006 runs in the
    #: San Francisco pings none is longer than 9.
    repeats_max: int = 10
    frozen_s_max: float = 300.0
    #: A fix as coarse as this is of a radio mast, not of a car: several cells of resolution 9 (0.2 km) wide.
    accuracy_m_max: float = 500.0
    #: After this long between two pings the old track says nothing: a car may be 45 km away.
    forget_after_s: float = 900.0
    #: Of each region: bounds the memory at about 0.3 KB each; ten times the drivers of the largest city.
    drivers_max: int = 500_000

    def __post_init__(self) -> None:
        _require_positive(self, "age_s_max", "speed_mps_max", "accuracy_m_max", "forget_after_s", "moving_mps_min")
        _require_positive(self, "jumps_to_recover", "moving_repeats_max", "repeats_max", "drivers_max")
        for name in ("future_skew_s_max", "jump_slack_m", "quarantine_s", "far_jump_m", "frozen_s_max"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, not {value}")


@dataclass(frozen=True, slots=True)
class GatewayParams:
    """How the edge groups pings. Its waits are wall seconds: they bound how long a phone holds a request open."""

    #: Long enough to group the pings of a busy city, short enough not to be seen on the map.
    group_wait_s: float = 0.03
    #: So many do not wait any longer: to judge them takes some milliseconds, in which the edge does nothing else.
    flush_pings_max: int = 4_000
    #: About 60 KB a message, and the most that the worker takes; Faust's 80 µs a message are nothing beside it.
    group_pings_max: int = 1_000
    #: What the edge holds while the broker is slow: some 10 MB, and a second of the busiest city.
    held_pings_max: int = 50_000
    #: After this the phone is told to come back; the group may still arrive, which is harmless.
    submit_s_max: float = 3.0
    #: What the phone is told to wait. A broker restarts within seconds.
    retry_after_s: float = 2.0
    #: How long the last times are asked of the store before the edge goes on without them.
    last_times_s_max: float = 0.5
    #: Bounds the memory of last times at about 0.2 KB each.
    drivers_max: int = 500_000

    def __post_init__(self) -> None:
        _require_positive(self, "group_wait_s", "submit_s_max", "retry_after_s", "last_times_s_max")
        _require_positive(self, "flush_pings_max", "group_pings_max", "held_pings_max", "drivers_max")


@dataclass(frozen=True, slots=True)
class StoreParams:
    """How the worker stores positions. Seconds are city seconds."""

    SECTION: ClassVar[str] = "cells"

    #: A driver without a ping for so long is taken out of the cells. Until then the position stays, for the map and the
    #: pickup watch; who may be asked is decided by `[dispatch] stale_after_s`, which must be shorter.
    remove_after_s: float = 120.0
    #: Positions in one call: some 2 ms of the store's time, and below Lua's limit of about 8,000 on one unpack.
    batch_positions_max: int = 1_000
    #: Of each reason and batch: enough to see what goes on, and bounded whatever is sent.
    batch_samples_max: int = 3

    def __post_init__(self) -> None:
        _require_positive(self, "remove_after_s", "batch_positions_max", "batch_samples_max")
        if self.batch_positions_max > 1_000:
            raise ValueError(
                f"batch_positions_max must be at most 1000, not {self.batch_positions_max}: see Lua's unpack"
            )


def _require_positive(params: object, *names: str) -> None:
    for name in names:
        value = getattr(params, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0, not {value}")
