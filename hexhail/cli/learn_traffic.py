"""`hexhail city learn-traffic`: the usual traffic by hour of the week."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hexhail.cli.console import fail, out

if TYPE_CHECKING:
    from geo.city import City
    from geo.learning.traffic import EdgeSpeeds
    from hexhail.runs.learn_traffic import TrafficReport


def learn_traffic(
    folder: Annotated[Path, typer.Argument(help="a city folder")],
    pings: Annotated[
        list[Path], typer.Option(help="recorded pings, as hexhail replay pings reads them; may be given again")
    ],
    out_file: Annotated[Path, typer.Option("--out", help="file to write, such as CITY/traffic.npz")],
) -> None:
    """Learn how slow each street is in each hour of the week, from recorded pings.

    A part of the drives is held back to judge what was learned; what would predict them worse than free flow does is
    not written.
    """
    from hexhail.runtime.kernel_cache import use_kernel_cache

    use_kernel_cache()
    from geo.city import load_city

    try:
        city = load_city(folder)
        speeds, report = _learned_with_progress(city, pings)
        out_file.parent.mkdir(parents=True, exist_ok=True)
        speeds.save(out_file)
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    _print_report(report)
    out.print(f"written to {out_file}: name it as `profile` in [learned_traffic] of city.toml", markup=False)


def _learned_with_progress(city: City, files: list[Path]) -> tuple[EdgeSpeeds, TrafficReport]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    from hexhail.runs.learn_traffic import learn_traffic

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        return learn_traffic(city, files, show)


def _print_report(report: TrafficReport) -> None:
    out.print(
        f"{report.pings:,} pings of {report.drivers:,} drivers on {report.days} days; {report.steps:,} steps matched"
    )
    share = report.edges_driven / report.edges
    out.print(
        f"{report.edges_driven:,} of {report.edges:,} edges driven ({share:.0%}), the others follow their "
        f"neighbourhood; {report.hours_seen} of 168 hours of the week seen"
    )
    out.print(f"held back: {report.held_back}; {report.learned.trips:,} trips of up to ten minutes")
    for name, errors in (
        ("free flow", report.free_flow),
        ("free flow x one factor", report.constant),
        ("learned", report.learned),
    ):
        out.print(f"  {name:<22}  median error {errors.median:6.1%}   mean error {errors.mean:6.1%}")
