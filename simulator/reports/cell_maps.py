"""Small maps of surge cells side by side as SVG text, one per time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from geo.arrays import FloatArray
from simulator.reports.plot import INK

_SIDE, _STEP, _TOP, _LEGEND = 150.0, 170, 30.0, 34
#: From below the base price over the base price (grey) to the deepest red: multiplier, red, green, blue.
_SCALE = ((0.7, 47, 127, 184), (1.0, 221, 226, 231), (1.5, 240, 164, 122), (3.0, 176, 28, 18))
_KEYS = (0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 3.0)


def cell_maps(outlines_deg: Sequence[FloatArray], frames: Sequence[tuple[str, FloatArray]]) -> str:
    """Maps under titles, with one scale of colours.

    Args:
        outlines_deg: of each of c cells the corners (k, 2) lat, lng.
        frames: (title, multipliers (c,)) of each map.
    """
    corners = np.concatenate(outlines_deg) if outlines_deg else np.zeros((1, 2))
    # One plane for all: longitudes go on past 180°.
    turn_deg = np.array([0.0, 360.0]) if np.ptp(corners[:, 1]) > 180.0 else np.zeros(2)
    outlines_deg = [outline + turn_deg * (outline[:, 1:] < 0.0) for outline in outlines_deg]
    corners = corners + turn_deg * (corners[:, 1:] < 0.0)
    (south, west), (north, east) = corners.min(axis=0), corners.max(axis=0)
    shrink = math.cos(math.radians((south + north) / 2.0))
    scale = _SIDE / max(float(north - south), float(east - west) * shrink, 1e-9)
    paths = [
        "L".join(f"{(lng - west) * shrink * scale:.1f} {(north - lat) * scale:.1f}" for lat, lng in outline.tolist())
        for outline in outlines_deg
    ]
    drawn = []
    for at, (title, values) in enumerate(frames):
        x = 20 + at * _STEP
        drawn.append(f'<text x="{x}" y="16" fill="{INK}" font-size="12">{escape(title)}</text>')
        cells = [
            f'<path d="M{path}Z" fill="{_colour(value)}"><title>{value:.2f}</title></path>'
            for path, value in zip(paths, values.tolist(), strict=True)
        ]
        drawn.append(f'<g transform="translate({x},{_TOP:.0f})" stroke="#fff" stroke-width="0.8">{"".join(cells)}</g>')
    height = _TOP + (north - south) * scale + _LEGEND
    drawn.append(_legend(height - 14))
    return f'<svg viewBox="0 0 {20 + _STEP * max(len(frames), 1)} {height:.0f}" role="img">{"".join(drawn)}</svg>'


def _colour(multiplier: float) -> str:
    at, *channels = zip(*_SCALE, strict=True)
    red, green, blue = (round(float(np.interp(multiplier, at, channel))) for channel in channels)
    return f"rgb({red},{green},{blue})"


def _legend(y: float) -> str:
    drawn = []
    for at, multiplier in enumerate(_KEYS):
        x = 20 + at * 62
        drawn.append(f'<rect x="{x}" y="{y - 9:.1f}" width="11" height="11" rx="2" fill="{_colour(multiplier)}"/>')
        drawn.append(f'<text x="{x + 16}" y="{y:.1f}" fill="{INK}" font-size="11">{multiplier:g}&#215;</text>')
    return "".join(drawn)
