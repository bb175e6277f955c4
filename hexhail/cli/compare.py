"""`hexhail compare`: which policy or parameter is better, by how much, and how sure that is."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hexhail.cli.console import err, fail, out
from hexhail.cli.simulate import AS_THE_CITY, acceptance_of, is_on

if TYPE_CHECKING:
    from hexhail.runs.compare import Comparison, Plan


def compare(
    arms: Annotated[list[str], typer.Argument(help="optimal, file.py:Class, optimal:key=value,…, or settings.toml")],
    city: Annotated[Path, typer.Option(help="a city folder")],
    requests: Annotated[Path, typer.Option(help="as for simulate")],
    drivers: Annotated[Path, typer.Option(help="as for simulate")],
    out_dir: Annotated[Path, typer.Option("--out", help="folder to write compare.json and compare.html into")],
    seeds: Annotated[int, typer.Option(help="days of each arm, with seeds 1, 2, …")] = 10,
    jobs: Annotated[int, typer.Option(help="processes side by side; 0 for as many as there are cores")] = 0,
    resample: Annotated[bool, typer.Option("--resample", help="draw each seed's demand anew")] = False,
    switchback: Annotated[float | None, typer.Option(help="two policies take turns, each so many seconds")] = None,
    burn_in: Annotated[float, typer.Option(help="of a switchback: seconds after a change that do not count")] = 0.0,
    max_wait_s: Annotated[
        float | None, typer.Option(help=f"a request without a driver ends after so long; {AS_THE_CITY}")
    ] = None,
    boarding_s: Annotated[float, typer.Option(help="from a driver's arrival to the pickup")] = 0.0,
    drain_s: Annotated[float, typer.Option(help="open for so long after the last request")] = 1800.0,
    batch_window_s: Annotated[float | None, typer.Option(help=f"requests gather for so long; {AS_THE_CITY}")] = None,
    acceptance: Annotated[str, typer.Option(help="model, or always: everybody says yes")] = "model",
    surge: Annotated[str, typer.Option(help="on or off")] = "on",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="count bad rows instead of refusing")] = False,
) -> None:
    """Compare policies or parameters on the same riders and drivers: one day of each arm for each seed."""
    from hexhail.runtime.kernel_cache import use_kernel_cache

    if find_spec("scipy") is None:
        fail("confidence intervals need scipy: pip install 'hexhail[bench]'")
    # The processes inherit it, and with it each other's compiled kernels.
    use_kernel_cache()
    from hexhail.runs.arms import parse_arms
    from hexhail.runs.compare import Plan
    from hexhail.runs.compare_page import write_comparison
    from simulator.day_params import DayParams
    from simulator.experiments.switchback import SwitchbackParams

    try:
        defaults = DayParams(
            max_wait_s=max_wait_s,
            boarding_s=boarding_s,
            drain_s=drain_s,
            batch_window_s=batch_window_s,
            acceptance=acceptance_of(acceptance),
            is_surge_on=is_on(surge),
        )
        turns = None if switchback is None else SwitchbackParams(switchback, burn_in)
        if turns is None and burn_in:
            raise ValueError("--burn-in belongs to --switchback")
        plan = Plan(
            city, requests, drivers, tuple(parse_arms(arms, defaults)), tuple(range(1, seeds + 1)),
            skip_bad, resample, turns,
        )  # fmt: skip
        comparison = _compared(plan, _jobs(jobs, len(plan.days())))
        write_comparison(comparison, out_dir)
    except (ValueError, TypeError, OSError) as error:
        fail(str(error))
    _say(comparison, out_dir)
    _fail_for_wrongs(comparison)


def _jobs(wanted: int, days: int) -> int:
    if wanted < 0:
        raise ValueError(f"--jobs must not be negative, but is {wanted}")
    return min(wanted or os.cpu_count() or 1, days)


def _compared(plan: Plan, jobs: int) -> Comparison:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hexhail.runs.compare import compare as live_all

    columns = TextColumn("days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("days", total=len(plan.days()))
        return live_all(plan, jobs, lambda done: bar.update(task, completed=done))


def _say(comparison: Comparison, folder: Path) -> None:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from hexhail.runs.compare_page import shown, shown_difference

    arms = comparison.plan.arms
    table = Table(title=escape(f"{comparison.title}: differences with 95 % confidence"), title_justify="left")
    table.add_column("", no_wrap=True)
    for arm in arms:
        table.add_column(escape(arm.name), justify="right")
    for arm in arms[1:]:
        table.add_column(escape(f"{arm.name}, difference"), justify="right", no_wrap=True)
    for name, (words, unit) in comparison.figures.items():
        cells = [Text(shown(mean, unit)) for mean in comparison.means[name]]
        for difference in comparison.differences[name]:
            text = shown_difference(difference, unit)
            cells.append(Text(text, style="bold" if difference.is_clear else ""))
        table.add_row(words, *cells)
    out.print(table)
    if comparison.has_no_spread:
        out.print("Every seed gave the same, so the intervals say nothing: give --resample, or --acceptance model.")
    out.print(f"{folder / 'compare.html'}, {folder / 'compare.json'}")


def _fail_for_wrongs(comparison: Comparison) -> None:
    """End with an error if the service broke an invariant or a policy a rule; the files are written by now."""
    for sentence in comparison.policy_faults[:3]:
        err.print(f"  {sentence}", markup=False)
    if comparison.violations:
        fail(f"{comparison.violations} invariants were violated")
    if comparison.policy_faults:
        fail("a policy was at fault, and what was wrong was left out")
