"""`hexhail compare`: the differences between policies or parameters, with confidence intervals."""

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
    seeds: Annotated[int, typer.Option(help="simulated days of each arm; they have the seeds 1, 2, …")] = 10,
    jobs: Annotated[int, typer.Option(help="days simulated in parallel; 0 for one per core")] = 0,
    resample: Annotated[bool, typer.Option("--resample", help="draw new demand for each seed")] = False,
    switchback: Annotated[float | None, typer.Option(help="let two policies take turns of this many seconds")] = None,
    burn_in: Annotated[
        float, typer.Option(help="seconds after each change of a switchback that are not counted")
    ] = 0.0,
    max_wait_s: Annotated[
        float | None, typer.Option(help=f"seconds until a request without a driver expires; {AS_THE_CITY}")
    ] = None,
    boarding_s: Annotated[float, typer.Option(help="seconds from the driver's arrival to the pickup")] = 0.0,
    drain_s: Annotated[float, typer.Option(help="seconds that the simulation goes on after the last request")] = 1800.0,
    batch_window_s: Annotated[
        float | None, typer.Option(help=f"seconds between two matching rounds; {AS_THE_CITY}")
    ] = None,
    acceptance: Annotated[str, typer.Option(help="model, or always: every driver accepts every offer")] = "model",
    surge: Annotated[str, typer.Option(help="on or off")] = "on",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="leave out bad rows and count them instead of ending")
    ] = False,
    to_crossings: Annotated[
        bool,
        typer.Option(
            "--to-crossings",
            help="move every place to the nearest crossing, as simulators do that know no place along a street",
        ),
    ] = False,
) -> None:
    """Compare policies or parameters on the same riders and drivers: one simulated day per arm and seed."""
    from hexhail.runtime.kernel_cache import use_kernel_cache

    if find_spec("scipy") is None:
        fail("confidence intervals need scipy: pip install 'hexhail[bench]'")
    # Before the worker processes start: they inherit the variable and share the compiled kernels.
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
            skip_bad, resample, turns, to_crossings,
        )  # fmt: skip
        comparison = _run_with_progress(plan, _number_of_jobs(jobs, len(plan.days())))
        write_comparison(comparison, out_dir)
    except (ValueError, TypeError, OSError) as error:
        fail(str(error))
    _print_comparison(comparison, out_dir)
    _fail_for_violations(comparison)


def _number_of_jobs(jobs: int, days: int) -> int:
    if jobs < 0:
        raise ValueError(f"--jobs must not be negative, but is {jobs}")
    return min(jobs or os.cpu_count() or 1, days)


def _run_with_progress(plan: Plan, jobs: int) -> Comparison:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hexhail.runs.compare import compare as simulate_all

    columns = TextColumn("days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("days", total=len(plan.days()))
        return simulate_all(plan, jobs, lambda done: bar.update(task, completed=done))


def _print_comparison(comparison: Comparison, folder: Path) -> None:
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
        out.print("All seeds gave the same figures, so there are no intervals: use --resample, or --acceptance model.")
    out.print(f"{folder / 'compare.html'}, {folder / 'compare.json'}")


def _fail_for_violations(comparison: Comparison) -> None:
    """Exit with an error if an invariant was violated or a policy broke a rule; the files are written by now."""
    for sentence in comparison.policy_faults[:3]:
        err.print(f"  {sentence}", markup=False)
    if comparison.violations:
        fail(f"{comparison.violations} invariants were violated")
    if comparison.policy_faults:
        fail("a policy broke a rule; the pairs concerned were left out")
