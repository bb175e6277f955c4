"""The life of a ride, drawn from the table of legal moves."""

from __future__ import annotations

from collections import defaultdict

from dispatch.model import TERMINAL, RideState
from dispatch.rules.lifecycle import MOVES

#: Column and row of each state: the way of a ride downwards, the ends beside it.
_PLACES = {
    RideState.REQUESTED: (0, 0),
    RideState.OFFERED: (0, 1),
    RideState.ASSIGNED: (0, 2),
    RideState.ARRIVED: (0, 3),
    RideState.ON_TRIP: (0, 4),
    RideState.COMPLETED: (0, 5),
    RideState.EXPIRED: (1, 0),
    RideState.CANCELLED: (1, 2),
}
_WIDTH, _LEFT, _COLUMN, _ROW, _TOP = 720, 320, 270, 84, 30
_BOX_W, _BOX_H = 120, 36


def page() -> str:
    """The page, in Markdown with an inline drawing."""
    rows = "\n".join(
        f"| `{state.value}` | `{event.__name__}` | `{after.value}` | {(event.__doc__ or '').splitlines()[0]} |"
        for (state, event), after in MOVES.items()
    )
    return f"""# The life of a ride

A ride moves only along this table; whatever is not in it is refused as an illegal move. The drawing and the table are
generated from `dispatch.rules.lifecycle.MOVES`. A ride begins `REQUESTED` with the event `RideRequested`.

{_drawing()}

| state | event | state after | meaning |
|---|---|---|---|
{rows}
"""


def _drawing() -> str:
    missing = set(RideState) - set(_PLACES)
    if missing:
        raise ValueError(f"the drawing has no place for {sorted(missing)}: add it to _PLACES")
    names: dict[tuple[RideState, RideState], list[str]] = defaultdict(list)
    for (before, event), after in MOVES.items():
        if before is not after:
            names[before, after].append(event.__name__)
    arrows = "".join(_arrow(before, after, events) for (before, after), events in names.items())
    boxes = "".join(_box(state) for state in _PLACES)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {2 * _TOP + 5 * _ROW}" role="img" fill="currentColor" '
        'aria-label="States of a ride and the events between them" style="max-width:100%;font:12px sans-serif">'
        "<style>.event{paint-order:stroke;stroke:var(--md-default-bg-color,#fff);stroke-width:4px}</style>"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z"/></marker></defs>{arrows}{boxes}</svg>'
    )


def _centre(state: RideState) -> tuple[float, float]:
    column, row = _PLACES[state]
    return _LEFT + column * _COLUMN, _TOP + row * _ROW


def _box(state: RideState) -> str:
    x, y = _centre(state)
    line = 3 if state in TERMINAL else 1
    return (
        f'<rect x="{x - _BOX_W / 2:g}" y="{y - _BOX_H / 2:g}" width="{_BOX_W}" height="{_BOX_H}" rx="8" fill="none" '
        f'stroke="currentColor" stroke-width="{line}"/>'
        f'<text x="{x:g}" y="{y + 4:g}" text-anchor="middle" font-weight="bold">{state.value}</text>'
    )


def _arrow(before: RideState, after: RideState, events: list[str]) -> str:
    """An arrow down, back in an arc on the left, or to an end on the right, with the names of its events."""
    (x0, y0), (x1, y1) = _centre(before), _centre(after)
    if x1 > x0:
        path = f"M{x0 + _BOX_W / 2:g} {y0:g}L{x1 - _BOX_W / 2:g} {y1:g}"
        label = (x0 + x1) / 2 - 6, (y0 + y1) / 2 - 6 - (y0 != y1) * 8, "middle"
    elif y1 > y0:
        path = f"M{x0:g} {y0 + _BOX_H / 2:g}L{x1:g} {y1 - _BOX_H / 2:g}"
        label = x0 + 8, (y0 + y1) / 2 + 4, "start"
    else:
        reach = 40 + 55 * (_PLACES[before][1] - _PLACES[after][1] - 1)
        edge = x0 - _BOX_W / 2
        path = f"M{edge:g} {y0:g}C{edge - reach:g} {y0:g} {edge - reach:g} {y1 + 6:g} {edge:g} {y1 + 6:g}"
        label = edge - reach * 0.75 - 6, (y0 + y1) / 2 + 10 - 7 * len(events), "end"
    x, y, anchor = label
    texts = "".join(
        f'<text class="event" x="{x:g}" y="{y + 14 * n:g}" text-anchor="{anchor}">{event}</text>'
        for n, event in enumerate(events)
    )
    # Names are drawn over the lines, each with a margin in the page's colour.
    return f'<path d="{path}" fill="none" stroke="currentColor" marker-end="url(#head)"/>{texts}'
