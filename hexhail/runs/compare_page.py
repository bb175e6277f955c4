"""The HTML report of a comparison: a table, differences with intervals, and the values of every seed."""

from __future__ import annotations

import json
import math
from html import escape
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hexhail.runs.compare import Comparison
from simulator.experiments.comparison import CONFIDENCE, Difference
from simulator.reports.page import page_html, section
from simulator.reports.plot import Curve, Range, curves, ranges

_COLOURS = ("#14746f", "#c1440e", "#3b6fb6", "#8a5a9e", "#7d8b99")
#: Figures that get a picture of their own, seed by seed.
_PICTURED = ("wait_s_mean", "wait_s_p95", "service_rate", "completed_value", "income_gini")


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write `compare.json` and `compare.html` into a folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.json").write_text(json.dumps(comparison.as_dict(), indent=2) + "\n", encoding="utf-8")
    (folder / "compare.html").write_text(compare_html(comparison), encoding="utf-8")


def compare_html(comparison: Comparison) -> str:
    """The whole page."""
    arms, plan = comparison.plan.arms, comparison.plan
    sections = [section("Means, and differences from the first", _table(comparison), is_wide=True)]
    for at, arm in enumerate(arms[1:]):
        title = f"{arm.name} against {arms[0].name}, relative"
        sections.append(section(title, _forest(comparison, at)))
    sections += [
        section(f"{comparison.figures[name][0].capitalize()}, by seed", _by_seed(comparison, name))
        for name in _PICTURED
        if len(plan.seeds) > 1 and name in comparison.by_seed
    ]
    seeds = f"{len(plan.seeds)} seed{'s' if len(plan.seeds) > 1 else ''}"
    if plan.switchback is None:
        demand = "demand drawn anew for each seed" if plan.is_resampled else "one demand"
        design = f"common random numbers · {seeds} · {demand}"
    else:
        turns = plan.switchback
        design = f"switchback each {turns.interval_s:g} s, burn-in {turns.burn_in_s:g} s · {seeds}"
    about = f"{' against '.join(arm.name for arm in arms)} · {design} · hexhail {version('hexhail')}"
    note = f"Intervals hold the true difference in {CONFIDENCE:.0%} of such experiments; bold where zero is outside."
    return page_html(f"{comparison.title}: a comparison", about, f"<div class=plots>{''.join(sections)}</div>", note)


def shown(value: float, unit: str) -> str:
    """A figure as people read it; a share as per cent, a missing one as a dash."""
    if not math.isfinite(value):
        return "none"
    if unit == "%":
        return f"{100 * value:.2f} %"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{text} s" if unit == "s" else text


def shown_difference(difference: Difference, unit: str) -> str:
    """A difference and its interval; between shares in percentage points."""
    scale = 100.0 if unit == "%" else 1.0
    middle, low, high = (scale * end for end in (difference.mean, difference.low, difference.high))
    if not math.isfinite(middle):
        return shown(middle, unit)
    digits = _decimals(max(abs(middle), abs(low) if math.isfinite(low) else 0.0))
    suffix = {"%": " points", "s": " s"}.get(unit, "")
    if not math.isfinite(low):
        return f"{middle:+,.{digits}f}{suffix} (no interval)"
    return f"{middle:+,.{digits}f}{suffix} [{low:+,.{digits}f}, {high:+,.{digits}f}]"


def _decimals(size: float) -> int:
    """How many decimals show three digits of a number."""
    return min(4, max(0, 2 - math.floor(math.log10(size)))) if size else 0


def _table(comparison: Comparison) -> str:
    arms = comparison.plan.arms
    heads = ["", *(arm.name for arm in arms), *(f"{arm.name}, difference" for arm in arms[1:])]
    rows = [f"<tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>"]
    for name, (words, unit) in comparison.figures.items():
        cells = [f"<td>{words}</td>", *(f"<td>{shown(mean, unit)}</td>" for mean in comparison.means[name])]
        for difference in comparison.differences[name]:
            kind = " class=clear" if difference.is_clear else ""
            cells.append(f"<td{kind}>{escape(shown_difference(difference, unit))}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _forest(comparison: Comparison, at: int) -> str:
    rows = []
    for name, (words, _) in comparison.figures.items():
        base, difference = comparison.means[name][0], comparison.differences[name][at]
        if not base or not math.isfinite(base):
            continue
        middle, low, high = (100.0 * end / abs(base) for end in (difference.mean, difference.low, difference.high))
        rows.append(Range(words, middle, low, high, _COLOURS[0] if difference.is_clear else _COLOURS[-1]))
    return ranges(rows, x_unit="% of the first arm")


def _by_seed(comparison: Comparison, name: str) -> str:
    """Each arm's days in the order of their values."""
    lines = []
    for arm, values, colour in zip(comparison.plan.arms, comparison.by_seed[name], _COLOURS, strict=False):
        known = np.sort([value for value in values if math.isfinite(value)])
        lines.append(Curve(arm.name, np.arange(1.0, known.size + 1), known, colour))
    return curves(lines, x_unit="seeds, by rank", is_counted=True)
