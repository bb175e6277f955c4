"""Data types of ingestion: pings, rejection reasons, and the parameters of gateway and worker."""

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

    A heading outside 0 to 360, a negative or infinite speed and NaN mean that the phone does not know. The numbers may
    be anything, the filter judges them; ValueError is raised for an id of no or too many characters.
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
    """Why a ping is rejected: the first reason that applies, in this order."""

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


#: Reasons that show only beside what came before or are found by the worker alone.
FOUND_BY_WORKER = frozenset({Reason.TOO_COARSE, Reason.IMPOSSIBLE_JUMP, Reason.REPEATED_COORDINATES})

#: Reasons of pings that are not newer than an accepted one; a replay of a topic consists of these.
NOT_NEWER = frozenset({Reason.DUPLICATE_TIME, Reason.OUT_OF_ORDER})


#: Where a reason alone says which field is wrong; of the others the values do.
_FIELD_OF = {
    Reason.FROM_THE_FUTURE: "t_s",
    Reason.TOO_OLD: "t_s",
    Reason.DUPLICATE_TIME: "t_s",
    Reason.OUT_OF_ORDER: "t_s",
    Reason.OFF_REGION: "lat_deg,lng_deg",
}


class Refusal(NamedTuple):
    """A ping refused by the edge: its index `at` in the batch, from 0, a `Reason` or "malformed", and the field."""

    at: int
    reason: str
    field: str

    @classmethod
    def of(cls, at: int, reason: Reason, wrong_field: str = "") -> Refusal:
        """Name the field that the reason speaks of; `wrong_field` counts where the reason speaks of several."""
        return cls(at, reason, _FIELD_OF.get(reason, wrong_field))


class Submitted(NamedTuple):
    """What became of a batch: how many pings the broker has, and the others, by index."""

    accepted: int
    refusals: tuple[Refusal, ...] = ()


class UnbelievedPing(NamedTuple):
    """The newest ping of a driver, which the worker did not believe."""

    driver_id: str
    reason: Reason
    t_s: float


class LastPings(NamedTuple):
    """The last ping of a driver that was believed and the last that was not, city seconds."""

    seen_s: float | None
    refused_reason: str = ""
    refused_s: float = -math.inf


class Standing(NamedTuple):
    """Whether a driver counts where the phone says it is; if not, why (None: it never said) and since when."""

    counts: bool
    reason: str | None = None
    since_s: float | None = None


#: The reason of a driver from whom no ping has come.
STALE = "stale"


@dataclass(frozen=True, slots=True)
class PingGroup:
    """Pings of one region that travel as one message; `received_s` is the city time when the edge closed it."""

    region_id: str
    received_s: float
    pings: tuple[DriverPing, ...]


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message of the log, not yet decoded."""

    partition: int
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An undecodable message, the error, and its topic, partition and offset."""

    reason: str
    message: RawMessage


@dataclass(frozen=True, slots=True)
class RejectedPing:
    """A sample of a rejected ping for operators; `judged_s` is the city time of the verdict."""

    reason: Reason
    judged_s: float
    ping: DriverPing


@dataclass(frozen=True, slots=True)
class IngestParams:
    """Parameters of the ping filter. Seconds are city seconds."""

    SECTION: ClassVar[str] = "ingest"

    #: Maximum age. Phones queue pings in tunnels and send them later; older ones say nothing about now.
    age_s_max: float = 300.0
    #: Maximum lead over the server's clock; phone clocks are far more accurate. A larger one would lock a driver out
    #: until that time has come.
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
    #: A jump this far out of reach is no receiver error; its quarantine does not end when a car could be there.
    far_jump_m: float = 4_000.0
    #: From this reported speed on a car counts as moving; a phone's smoothing never shows it for a car at a light.
    moving_mps_min: float = 3.0
    #: Consecutive pings that may repeat the coordinates with a reported speed; a receiver in a tunnel lags as much.
    moving_repeats_max: int = 3
    #: Pings of unknown speed may repeat the coordinates so often or so long, whichever is longer; by default for ever:
    #: nothing tells a stuck receiver that says no speed from a parked phone that repeats its last fix. A city whose
    #: phones always say their speed may set a limit, such as 300 s.
    repeats_max: int = 10
    frozen_s_max: float = math.inf
    #: Accuracy limit. A coarser fix comes from a radio mast: it spans several cells of resolution 9 (0.2 km).
    accuracy_m_max: float = 500.0
    #: After a gap this long the track is dropped: a car may be 45 km away.
    forget_after_s: float = 900.0
    #: Of each region: bounds the memory at about 0.3 KB each; ten times the drivers of the largest city.
    drivers_max: int = 500_000

    def __post_init__(self) -> None:
        _require_positive(self, "age_s_max", "speed_mps_max", "accuracy_m_max", "forget_after_s", "moving_mps_min")
        _require_positive(self, "jumps_to_recover", "moving_repeats_max", "repeats_max", "drivers_max")
        if not self.frozen_s_max >= 0:
            raise ValueError(f"frozen_s_max must be at least 0, or inf for no limit, not {self.frozen_s_max}")
        for name in ("future_skew_s_max", "jump_slack_m", "quarantine_s", "far_jump_m"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, not {value}")


@dataclass(frozen=True, slots=True)
class GatewayParams:
    """How the edge groups pings. Its waits are wall seconds: they bound how long a phone holds a request open."""

    #: Long enough to group the pings of a busy city, short enough not to be seen on the map.
    group_wait_s: float = 0.03
    #: From this many waiting pings on they are judged at once; judging them blocks the edge for some milliseconds.
    flush_pings_max: int = 4_000
    #: About 60 KB a message, and the most that the worker takes; Faust's 80 µs a message are nothing beside it.
    group_pings_max: int = 1_000
    #: What the edge holds while the broker is slow: some 10 MB, and a second of the busiest city.
    held_pings_max: int = 50_000
    #: After this time the phone is told to retry; the group may still arrive, which is harmless.
    submit_s_max: float = 3.0
    #: `Retry-After` sent to phones. A broker restarts within seconds.
    retry_after_s: float = 2.0
    #: Timeout of the store's last times; the edge then goes on without them.
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
    #: Rejected samples kept per reason and batch.
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
