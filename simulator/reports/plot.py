"""Line charts, stacked areas and intervals as SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from geo.arrays import FloatArray

_WIDTH, _HEIGHT = 520, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 26, 30
#: Curves are thinned to this many points, about one per pixel.
_POINTS_MAX = 400
INK, _GRID = "#5c6b7a", "#e6eaee"


class Curve(NamedTuple):
    """Points (n,), (n,) under a name and in a colour."""

    name: str
    x: FloatArray
    y: FloatArray
    colour: str


def curves(lines: Sequence[Curve], *, x_unit: str, y_top: float | None = None, is_counted: bool = False) -> str:
    """Line chart; empty axes if there are no points.

    `is_counted` marks each point with a dot and labels the x axis at whole numbers only.
    """
    x_top = max((float(line.x.max()) for line in lines if line.x.size), default=1.0) or 1.0
    y_top = y_top or max((float(line.y.max()) for line in lines if line.y.size), default=1.0) or 1.0
    drawn = [
        f'<path d="M{_path(*_thinned(line.x, line.y), x_top, y_top)}" fill="none" stroke="{line.colour}" '
        f'stroke-width="2"/>'
        for line in lines
        if line.x.size
    ]
    if is_counted:
        drawn += [dot for line in lines for dot in _dots(line, x_top, y_top)]
    return _svg(
        _axes(x_top, y_top, x_unit, x_step_min=float(is_counted))
        + "".join(drawn)
        + _legend([(line.name, line.colour) for line in lines])
    )


def stacked(x: FloatArray, layers: Sequence[tuple[str, FloatArray, str]], *, x_unit: str) -> str:
    """Layers (name, (n,), colour) on top of one another."""
    x_top = float(x.max()) or 1.0
    y_top = float(np.sum([layer[1] for layer in layers], axis=0).max()) or 1.0
    below, drawn = np.zeros(x.size), []
    for _, height, colour in layers:
        above = below + height
        outline = _path(np.concatenate([x, x[::-1]]), np.concatenate([above, below[::-1]]), x_top, y_top)
        drawn.append(f'<path d="M{outline}Z" fill="{colour}"/>')
        below = above
    names = [(name, colour) for name, _, colour in layers]
    return _svg("".join(drawn) + _axes(x_top, y_top, x_unit) + _legend(names))


class Range(NamedTuple):
    """A value between two ends under a name; NaN ends are not drawn."""

    name: str
    middle: float
    low: float
    high: float
    colour: str


def ranges(rows: Sequence[Range], *, x_unit: str) -> str:
    """Values with confidence intervals, one row each, around a line at zero."""
    ends = [abs(end) for row in rows for end in (row.middle, row.low, row.high) if math.isfinite(end)]
    reach = max(ends, default=1.0) or 1.0
    left, row_height, top = 190, 26, 12
    bottom = top + row_height * len(rows)
    middle, scale = (left + _WIDTH - _RIGHT) / 2, (_WIDTH - _RIGHT - left) / 2 / (reach * 1.05)
    drawn = [f'<path d="M{middle:.1f} {top}V{bottom}" stroke="{INK}"/>']
    for tick in _ticks(reach):
        for at in {tick, -tick}:
            x = middle + at * scale
            drawn.append(f'<path d="M{x:.1f} {top}V{bottom}" stroke="{_GRID}"/>')
            drawn.append(_text(x, bottom + 16, f"{at:g}", "middle"))
    drawn.sort(key=lambda element: _GRID not in element)  # the grid lies under the rest
    for number, row in enumerate(rows):
        y = top + row_height * (number + 0.5)
        drawn.append(_text(left - 8, y + 4, row.name, "end"))
        if math.isfinite(row.low) and math.isfinite(row.high):
            whisker = f"M{middle + row.low * scale:.1f} {y:.1f}H{middle + row.high * scale:.1f}"
            drawn.append(f'<path d="{whisker}" stroke="{row.colour}" stroke-width="3" stroke-linecap="round"/>')
        if math.isfinite(row.middle):
            drawn.append(f'<circle cx="{middle + row.middle * scale:.1f}" cy="{y:.1f}" r="5" fill="{row.colour}"/>')
    drawn.append(_text(_WIDTH - _RIGHT, bottom + 30, x_unit, "end"))
    return f'<svg viewBox="0 0 {_WIDTH} {bottom + 34}" role="img">{"".join(drawn)}</svg>'


def _thinned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    kept = np.unique(np.linspace(0, x.size - 1, min(x.size, _POINTS_MAX)).round().astype(int))
    return x[kept], y[kept]


def _places(x: FloatArray, y: FloatArray, x_top: float, y_top: float) -> tuple[FloatArray, FloatArray]:
    return (
        _LEFT + x / x_top * (_WIDTH - _LEFT - _RIGHT),
        _HEIGHT - _BOTTOM - y / y_top * (_HEIGHT - _TOP - _BOTTOM),
    )


def _dots(line: Curve, x_top: float, y_top: float) -> list[str]:
    left, top = _places(line.x, line.y, x_top, y_top)
    return [
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{line.colour}"/>'
        for a, b in zip(left.tolist(), top.tolist(), strict=True)
    ]


def _path(x: FloatArray, y: FloatArray, x_top: float, y_top: float) -> str:
    left, top = _places(x, y, x_top, y_top)
    return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(left.tolist(), top.tolist(), strict=True))


def _axes(x_top: float, y_top: float, x_unit: str, *, x_step_min: float = 0.0) -> str:
    drawn = []
    for tick in _ticks(y_top):
        top = _HEIGHT - _BOTTOM - tick / y_top * (_HEIGHT - _TOP - _BOTTOM)
        drawn.append(f'<path d="M{_LEFT} {top:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        drawn.append(_text(_LEFT - 6, top + 4, f"{tick:g}", "end"))
    for tick in _ticks(x_top, x_step_min):
        left = _LEFT + tick / x_top * (_WIDTH - _LEFT - _RIGHT)
        drawn.append(_text(left, _HEIGHT - _BOTTOM + 16, f"{tick:g}", "middle"))
    drawn.append(_text(_WIDTH - _RIGHT, _HEIGHT - 2, x_unit, "end"))
    return "".join(drawn)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}" font-size="11">{escape(text)}</text>'


def _legend(names: Sequence[tuple[str, str]]) -> str:
    drawn, left = [], _LEFT
    for name, colour in names:
        drawn.append(f'<rect x="{left}" y="6" width="10" height="10" rx="2" fill="{colour}"/>')
        drawn.append(_text(left + 15, 15, name, "start"))
        left += 32 + 6 * len(name)
    return "".join(drawn)


def _ticks(top: float, step_min: float = 0.0) -> list[float]:
    """Round numbers from 0 to the top, four to eight of them, or fewer where they would be nearer than allowed."""
    step = 10.0 ** math.floor(math.log10(top))
    step = next(step * factor for factor in (0.2, 0.5, 1.0, 2.0) if top / (step * factor) <= 7.0)
    step = max(step, step_min)
    return [step * number for number in range(int(top / step + 1e-9) + 1)]


def _svg(inside: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{inside}</svg>'
