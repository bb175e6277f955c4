"""The report of a run as one HTML file: curves as inline SVG, no scripts, no external resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geo.arrays import CellArray, FloatArray
from geo.cells import cell_boundary
from kernel.supply import DriverState
from simulator.day import Outcome, Sample
from simulator.reports.cell_maps import cell_maps
from simulator.reports.figures import incomes_cents, pickup_waits_s
from simulator.reports.page import page_html, section
from simulator.reports.plot import Curve, curves, stacked

_BUSY = (DriverState.ON_TRIP, DriverState.AT_PICKUP, DriverState.TO_PICKUP, DriverState.OFFERED, DriverState.IDLE)
_COLOURS = ("#14746f", "#3aa17e", "#8fd0a4", "#d9c46b", "#d5dbe1")
#: Number of surge maps; as many as fit on one line of the page.
_MAPS = 6


def report_html(title: str, summary: Mapping[str, Any], outcome: Outcome, surge_cells: CellArray) -> str:
    """The whole page; `surge_cells` (c,) uint64."""
    sections = [
        section("Wait for the pickup", _waits(outcome)),
        section("What drivers do", _supply(outcome)),
        section("Requests without a driver", _demand(outcome)),
        section("Who earns what", _incomes(outcome, summary)),
    ]
    if any(sample.multiplier is not None for sample in outcome.samples):
        sections.append(section("Surge over time", _surge(outcome, surge_cells), is_wide=True))
    about = f"a simulated day · hexhail {summary['version']} · seed {summary['seed']}"
    body = f"<div class=cards>{_cards(summary)}</div><div class=plots>{''.join(sections)}</div>"
    return page_html(title, about, body, f"events_sha256 {summary['events_sha256']}")


def _cards(summary: Mapping[str, Any]) -> str:
    wait = summary["pickup_wait_s"]
    cards = (
        ("requests", f"{summary['requests']:,}"),
        ("served", _percent(summary["service_rate"], digits=2)),
        ("mean wait", _seconds(wait["mean"])),
        ("95 % wait no longer than", _seconds(wait["p95"])),
        ("utilisation", _percent(summary["utilisation"])),
        ("driven empty", _percent(summary["deadhead_share"])),
        ("Gini of incomes", f"{summary['income_gini']:.2f}"),
        ("requests a CPU second", f"{summary['requests_per_cpu_s']:,.0f}"),
    )
    return "".join(f"<div class=card><b>{value}</b><span>{name}</span></div>" for name, value in cards)


def _percent(share: float | None, digits: int = 0) -> str:
    return "none" if share is None else f"{100 * share:.{digits}f} %"


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.0f} s"


def _waits(outcome: Outcome) -> str:
    wait_s = np.sort(pickup_waits_s(outcome.virtual_dispatch.history.rides.values()))
    share = np.arange(1, wait_s.size + 1) / max(wait_s.size, 1)
    return curves([Curve("share of riders picked up", wait_s, share, _COLOURS[0])], x_unit="s", y_top=1.0)


def _minutes(samples: Sequence[Sample], begin_s: float) -> FloatArray:
    return np.array([(sample.at_s - begin_s) / 60.0 for sample in samples])


def _supply(outcome: Outcome) -> str:
    layers = [
        (
            state.replace("_", " ").lower(),
            np.array([float(sample.drivers[state]) for sample in outcome.samples]),
            colour,
        )
        for state, colour in zip(_BUSY, _COLOURS, strict=True)
    ]
    return stacked(_minutes(outcome.samples, outcome.begin_s), layers, x_unit="min")


def _demand(outcome: Outcome) -> str:
    minutes = _minutes(outcome.samples, outcome.begin_s)
    waiting = np.array([float(sample.waiting) for sample in outcome.samples])
    idle = np.array([float(sample.drivers[DriverState.IDLE]) for sample in outcome.samples])
    return curves(
        [Curve("requests that wait", minutes, waiting, "#c1440e"), Curve("idle drivers", minutes, idle, "#7d8b99")],
        x_unit="min",
    )


def _incomes(outcome: Outcome, summary: Mapping[str, Any]) -> str:
    earned = np.sort(incomes_cents(outcome.virtual_dispatch.history.rides.values(), outcome.fleet.driver_id))
    share = np.concatenate([[0.0], np.cumsum(earned) / max(earned.sum(), 1.0)])
    drivers = np.linspace(0.0, 1.0, share.size)
    return curves(
        [
            Curve(f"Lorenz curve, Gini {summary['income_gini']:.2f}", drivers, share, _COLOURS[0]),
            Curve("everybody the same", np.array([0.0, 1.0]), np.array([0.0, 1.0]), "#b8c2cc"),
        ],
        x_unit="of drivers",
        y_top=1.0,
    )


def _surge(outcome: Outcome, cells: CellArray) -> str:
    priced = [sample for sample in outcome.samples if sample.multiplier is not None]
    chosen = [priced[at] for at in np.linspace(0, len(priced) - 1, min(_MAPS, len(priced))).round().astype(int)]
    frames = [
        (f"{(sample.at_s - outcome.begin_s) / 60:.0f} min", sample.multiplier)
        for sample in chosen
        if sample.multiplier is not None
    ]
    return cell_maps([cell_boundary(int(cell)) for cell in cells], frames)
