"""The steps of a headless run: what one of them showed, whether it was too much, and which part was at its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

#: A step is too much where offers come later than the window and this; milliseconds.
LATE_MS = 300.0
#: Of a core, where a process is busy all the time but for what its scheduler takes.
FULL_SHARE = 0.9
#: Of all cores together.
FULL_MACHINE_SHARE = 0.93
#: In a step's figures, the processes that are no part of the run.
OTHERS = "others"
#: Share of the drivers below which requests wait for cars and not for the machine.
IDLE_SHARE_MIN = 0.05


class Step(msgspec.Struct, frozen=True):
    """What happened while so many new riders a second asked for rides."""

    #: New riders a second, as asked for.
    rate: int
    seconds: float
    drivers: int
    idle: int
    pings_per_s: float
    #: Rides that were requested in the step, and those of them that somebody was offered.
    requested: int
    offered: int
    #: From request to offer; None where nobody requested a ride.
    p50_ms: float | None
    p99_ms: float | None
    errors: int
    #: Cores that each process used, and `others` those that are no part of the run; the share of all cores in use.
    cpu: dict[str, float]
    machine_share: float

    @property
    def requests_per_s(self) -> float:
        """Rides requested in a second."""
        return self.requested / self.seconds


class LoadReport(msgspec.Struct):
    """A whole run, as the process that leads it writes it."""

    window_ms: float
    steps: list[Step]
    #: Why there was no further step, and the part at its limit; empty after the last step that was asked for.
    stopped: str = ""
    bottleneck: str = ""
    #: Of the whole run: failed requests and streams with how often, and how rides ended.
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    ended: dict[str, int] = msgspec.field(default_factory=dict)


def percentiles_ms(waits_s: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Return the median and the 99th percentile in milliseconds; None where there is nothing."""
    if not waits_s:
        return None, None
    p50, p99 = np.quantile(waits_s, [0.5, 0.99]) * 1e3
    return float(p50), float(p99)


def why_to_stop(step: Step, window_ms: float) -> str:
    """Say why no step should follow; empty where the city kept up."""
    if step.errors:
        return f"{step.errors} requests or streams failed"
    late_ms = late_ms_of(step, window_ms)
    if late_ms is not None and late_ms > LATE_MS:
        return f"p99 from request to offer is {late_ms:,.0f} ms above the window, more than {LATE_MS:.0f}"
    return ""


def late_ms_of(step: Step, window_ms: float) -> float | None:
    """Return by how much the 99th percentile exceeds the window; None where nobody requested a ride."""
    return None if step.p99_ms is None else step.p99_ms - window_ms


def bottleneck_of(step: Step, cores: int) -> str:
    """Name the part that was at its limit.

    Cars come before processes: where none is free requests wait whatever the machine does. A full machine comes before
    a full process: on more cores that one might have gone on.
    """
    if step.idle < IDLE_SHARE_MIN * step.drivers:
        return f"cars: {step.idle} of {step.drivers} drivers were free; connect more, or let more riders cancel"
    busiest = _busiest(step.cpu)
    if step.machine_share >= FULL_MACHINE_SHARE:
        return f"the machine: {step.machine_share:.0%} of its {cores} cores were in use, most by {busiest}"
    full = {name: share for name, share in step.cpu.items() if share >= FULL_SHARE and name != OTHERS}
    if full:
        return f"{_busiest(full)}: a process of one thread can use no more"
    return f"none was at its limit: {step.machine_share:.0%} of {cores} cores in use, most by {busiest}"


def _busiest(cpu: Mapping[str, float]) -> str:
    if not cpu:
        return "processes that nobody measured"
    name = max(cpu, key=lambda name: cpu[name])
    return f"{name} ({cpu[name]:.2f} cores)"
