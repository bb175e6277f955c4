"""`hexhail simulate`: a whole city's day, by the engine that serves the street."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hexhail.cli.console import err, fail, out

if TYPE_CHECKING:
    from hexhail.runs.simulate import Inputs, Run

#: What an option that is not given means.
AS_THE_CITY = "default: [dispatch] of the city's file"
#: Wall seconds between two updates of the progress bar.
_SHOW_EVERY_S = 0.1


def simulate(
    city: Annotated[Path, typer.Option(help="a city folder")],
    requests: Annotated[
        Path, typer.Option(help="columns t_s,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,party_size")
    ],
    drivers: Annotated[Path, typer.Option(help="columns lat,lng and optionally seats; CSV, CSV.gz or Parquet")],
    out_dir: Annotated[Path, typer.Option("--out", help="folder to write")],
    policy: Annotated[
        str | None,
        typer.Option(help=f"optimal, expected, greedy, nearest, or your own: file.py:Class; {AS_THE_CITY}"),
    ] = None,
    values: Annotated[
        Path | None, typer.Option(help=f"position values, see hexhail city learn-values; {AS_THE_CITY}")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the riders' and drivers' behaviour")] = 1,
    max_wait_s: Annotated[
        float | None, typer.Option(help=f"seconds until a request without a driver expires; {AS_THE_CITY}")
    ] = None,
    boarding_s: Annotated[float, typer.Option(help="seconds from the driver's arrival to the pickup")] = 0.0,
    drain_s: Annotated[float, typer.Option(help="seconds that the simulation goes on after the last request")] = 1800.0,
    batch_window_s: Annotated[
        float | None, typer.Option(help=f"seconds between two matching rounds; {AS_THE_CITY}")
    ] = None,
    chain_within_s: Annotated[
        float | None,
        typer.Option(help=f"seconds before a dropoff in which a next ride is offered, 0: never; {AS_THE_CITY}"),
    ] = None,
    acceptance: Annotated[str, typer.Option(help="model, or always: every driver accepts every offer")] = "model",
    surge: Annotated[str, typer.Option(help="on or off")] = "on",
    gps_noise_m: Annotated[
        float, typer.Option(help="standard deviation of GPS positions along each axis, metres")
    ] = 0.0,
    gps_gap_share: Annotated[float, typer.Option(help="share of the time in which a phone has no GPS fix")] = 0.0,
    congestion: Annotated[
        str, typer.Option(help="on: traffic slows with the hour and the fleet, see [traffic]")
    ] = "off",
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
    """Simulate a city's day in virtual time, with riders and drivers from files and the engines of the live service."""
    from hexhail.runtime.kernel_cache import use_kernel_cache

    use_kernel_cache()
    from dispatch.matching.position_value import PositionValue
    from hexhail.runs.simulate import read_inputs, write_run
    from hexhail.runs.simulate import simulate as live
    from simulator.day_params import DayParams

    try:
        params = DayParams(
            seed=seed,
            max_wait_s=max_wait_s,
            boarding_s=boarding_s,
            drain_s=drain_s,
            batch_window_s=batch_window_s,
            chain_within_s=chain_within_s,
            acceptance=acceptance_of(acceptance),
            is_surge_on=is_on(surge),
            is_congestion_on=is_on(congestion, "--congestion"),
            gps_noise_m=gps_noise_m,
            gps_gap_share=gps_gap_share,
        )
        inputs = read_inputs(city, requests, drivers, skip_bad=skip_bad, to_crossings=to_crossings)
        _print_inputs(inputs)
        known = PositionValue.load(values, inputs.city.graph) if values is not None else None
        with _progress(inputs) as show:
            run = live(inputs, params, policy, show, known)
        written = write_run(run, inputs, out_dir)
    except (ValueError, TypeError, OSError) as error:
        fail(str(error))
    _print_run(run, written)
    _fail_for_violations(run)


def _fail_for_violations(run: Run) -> None:
    """Exit with an error if an invariant was violated or the policy broke a rule; the files are written by now."""
    faults = run.outcome.virtual_dispatch.policy_faults
    if faults.count:
        err.print(
            f"[bold red]error:[/] the policy broke a rule {faults.count:,} times in {faults.rounds:,} rounds; these "
            "pairs were left out, the first:"
        )
        for sentence in faults.first[:3]:
            err.print(f"  {sentence}", markup=False)
    if run.outcome.violations:
        fail(f"{len(run.outcome.violations)} invariants were violated, the first: {run.outcome.violations[0]}")
    if faults.count:
        raise typer.Exit(1)


def acceptance_of(name: str) -> Any:
    """The acceptance of that name. Raises ValueError."""
    from simulator.day_params import Acceptance

    if name not in list(Acceptance):
        raise ValueError(f"--acceptance must be model or always, not {name!r}")
    return Acceptance(name)


def is_on(answer: str, option: str = "--surge") -> bool:
    """Whether an option is on. Raises ValueError."""
    if answer not in ("on", "off"):
        raise ValueError(f"{option} must be on or off, not {answer!r}")
    return answer == "on"


def _print_inputs(inputs: Inputs) -> None:
    out.print(f"{len(inputs.requests):,} requests, {len(inputs.starts):,} drivers in {inputs.city.region.name}")
    if inputs.bad.count:
        out.print(f"{inputs.bad.count} bad rows left out, such as:")
        for reason in inputs.bad.reasons[:3]:
            out.print(f"  {reason}")


@contextmanager
def _progress(inputs: Inputs) -> Iterator[Callable[[float, int], None]]:
    """A progress bar of finished requests with the city's time and the rate; nothing without a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn()
    begin_s = float(inputs.requests.asked.t_s[0])
    began_s = shown_s = time.monotonic()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("preparing", total=len(inputs.requests), rate="")

        def show(now_s: float, gone: int) -> None:
            nonlocal shown_s
            if time.monotonic() - shown_s < _SHOW_EVERY_S:
                return
            shown_s = time.monotonic()
            minutes, seconds = divmod(int(now_s - begin_s), 60)
            rate = f"{gone / (shown_s - began_s):,.0f} requests/s"
            progress.update(
                task, completed=gone, rate=rate, description=f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
            )

        yield show


def _print_gps_figures(gps: dict[str, Any]) -> None:
    rejected = gps["pings_rejected"]
    reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in rejected.items()) or "none"
    out.print(
        f"{gps['pings_accepted']:,} pings believed, {gps['pings_without_fix']:,} not sent, rejected: {reasons}; "
        f"drivers were {gps['error_m_mean'] or 0.0:.1f} m from where they were believed to be, on average"
    )


def _print_run(run: Run, written: Path) -> None:
    figures = run.summary
    wait = figures["pickup_wait_s"]
    out.print(
        f"{figures['requests']:,} requested: {figures['completed']:,} completed, {figures['cancelled']:,} cancelled, "
        f"{figures['expired']:,} expired; {run.outcome.left_for_price:,} left for the price"
    )
    if wait["mean"] is not None:
        out.print(f"pickup wait {wait['mean']:.1f} s on average, median {wait['p50']:.1f} s, p95 {wait['p95']:.1f} s")
    if "gps" in figures:
        _print_gps_figures(figures["gps"])
    out.print(
        f"{figures['cpu_s']:.2f} CPU s, {figures['requests_per_cpu_s']:,.0f} requests a CPU second; "
        f"{len(run.outcome.events):,} events in {written}"
    )
    if written.suffix == ".gz":
        out.print("pyarrow is not installed, so the events are lines of JSON: pip install 'hexhail[bench]' for parquet")
