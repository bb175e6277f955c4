"""Reads at the beginning and at the end of a step what the processes and the machine have used."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.processes import cpu_s_of
from benchmarks.load.journal import Ledger
from benchmarks.load.steps import OTHERS, Step, percentiles_ms

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: Fields of /proc/stat that are no work: idle, and waiting for a disk.
_IDLE_FIELDS = (3, 4)


@dataclass(frozen=True)
class Reading:
    """Sums up to one moment."""

    at_s: float
    cpu_s: dict[str, float]
    #: CPU seconds of the machine, whoever used them.
    machine_s: float
    pings: int
    errors: int


def read(pids: Mapping[str, int], ledger: Ledger, errors: int) -> Reading:
    """Read the processes by name; one that has ended is left out."""
    cpu_s = {}
    for name, pid in pids.items():
        try:
            cpu_s[name] = cpu_s_of(pid)
        except OSError:
            continue
    return Reading(time.time(), cpu_s, _machine_s(), ledger.pings, errors)


def step_between(before: Reading, after: Reading, errors: int, rate: int, ledger: Ledger) -> Step:
    """Return what happened between two readings; `errors` are those known by now, when late answers have come."""
    seconds = after.at_s - before.at_s
    waits_s, offered = ledger.waits_s(before.at_s, after.at_s, time.time())
    p50_ms, p99_ms = percentiles_ms(waits_s)
    cpu = {name: (after.cpu_s[name] - spent) / seconds for name, spent in before.cpu_s.items() if name in after.cpu_s}
    machine = (after.machine_s - before.machine_s) / seconds
    return Step(
        rate=rate,
        seconds=seconds,
        drivers=ledger.connected,
        idle=ledger.idle,
        pings_per_s=(after.pings - before.pings) / seconds,
        requested=len(waits_s),
        offered=offered,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        errors=errors - before.errors,
        cpu=cpu | {OTHERS: max(0.0, machine - sum(cpu.values()))},
        machine_share=machine / (os.cpu_count() or 1),
    )


def _machine_s() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return (sum(fields) - sum(fields[place] for place in _IDLE_FIELDS)) / _TICKS_PER_S
