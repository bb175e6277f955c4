"""A ride's trace as text for operators: who was asked, who was not and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from dispatch.matching.reasons import WORDS, CandidateTrace, Reason, RideTrace


def trace_lines(traces: Sequence[RideTrace], clock: Callable[[float], str]) -> Iterator[str]:
    """Yield the lines of a ride's rounds in their order; `clock` formats city seconds as local time."""
    for trace in traces:
        asked = f"asked {trace.asked}" if trace.asked is not None else "nobody was asked"
        drivers = "1 driver" if trace.n_drivers == 1 else f"{trace.n_drivers} drivers"
        yield f"{clock(trace.at_s)}  {asked}, of {drivers} seen, by policy {trace.policy or 'none'}"
        for fault in trace.faults:
            yield f"  fault: {fault}"
        for candidate in trace.candidates:
            yield from _candidate(candidate)
        weighed = Counter(one.reason for one in trace.candidates if one.reason is not None)
        for name, count in trace.not_chosen.items():
            beyond = count - weighed[Reason(name)]
            if beyond:
                yield f"  {beyond} more: {WORDS[Reason(name)]}"


def _candidate(one: CandidateTrace) -> Iterator[str]:
    mark = "→" if one.reason is None else " "
    yield f"  {mark} {one.driver_id}  {one.pickup_eta_s:.0f} s away, score {one.score:.1f} = {_sum(one.terms)}"
    if one.reason is not None:
        yield f"      {WORDS[one.reason]}"


def _sum(terms: dict[str, float]) -> str:
    """The terms with their signs, without those that are 0."""
    shown = [f"{'-' if value < 0 else '+'} {name} {abs(value):.1f}" for name, value in terms.items() if value]
    return " ".join(shown).removeprefix("+ ") or "0"
