"""`hexhail demo`: run a whole city on this machine."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hexhail.cli.console import fail, out
from hexhail.runtime.kernel_cache import cache_dir


def demo(
    seconds: Annotated[float | None, typer.Option(help="end after this many seconds; default: on Ctrl-C")] = None,
    speed: Annotated[float, typer.Option(help="city seconds per second")] = 5.0,
    drivers: Annotated[int, typer.Option(help="number of drivers in the city")] = 300,
    seed: Annotated[int, typer.Option(help="seed of the riders' and drivers' behaviour")] = 1,
    port: Annotated[int, typer.Option(help="internal port: serves all routes and the map; 0 for any free port")] = 8080,
    time_of_day: Annotated[str, typer.Option("--from", help="local time at which the demo starts")] = "20:30",
    summary: Annotated[Path | None, typer.Option(help="JSON file to write the figures to")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="folder for logs and data; without it they are deleted")] = None,
    apis: Annotated[int, typer.Option(help="number of API processes; several stand behind the gateway")] = 1,
    city: Annotated[Path | None, typer.Option(help="a city folder; default: Manhattan")] = None,
) -> None:
    """Run a city on this machine: servers, services, riders, drivers and a live map."""
    from hexhail.demo.demo import DemoParams, run_demo
    from hexhail.demo.progress import DemoProgress
    from hexhail.runtime.connections import DependencyMissing
    from hexhail.runtime.settings import MANHATTAN
    from hexhail.runtime.supervisor import GaveUp

    try:
        params = DemoParams(
            city_dir=city or MANHATTAN,
            cache_dir=cache_dir(),
            seconds=seconds,
            speed=speed,
            drivers=drivers,
            seed=seed,
            port=port,
            time_of_day=time_of_day,
            apis=apis,
        )
    except ValueError as error:
        fail(str(error), code=2)
    folder = run_dir or Path(tempfile.mkdtemp(prefix="hexhail-"))
    out.print(f"run folder {folder}, compiled kernels in {params.cache_dir / 'numba'}")
    out.print(f"for tokens and the doctor, in another shell: set -a; . {folder}/city.env; set +a")
    try:
        with DemoProgress(out) as progress:
            result = asyncio.run(run_demo(replace(params, run_dir=folder), progress.say, progress.show))
    except (ValueError, OSError, TimeoutError, RuntimeError, DependencyMissing, GaveUp) as error:
        fail(f"{error}\nThe run folder {folder} is kept.")
    if summary is not None:
        summary.write_text(json.dumps(result.figures, indent=2) + "\n", encoding="utf-8")
    _print_summary(result.figures)
    if result.violations:
        fail(f"invariants were violated; the run folder {folder} is kept")
    if run_dir is None:
        shutil.rmtree(folder)


def _print_summary(figures: dict[str, Any]) -> None:
    wait = figures["pickup_wait_s"]
    out.print(
        f"{figures['requests']} requests: {figures['completed']} completed, {figures['cancelled']} cancelled, "
        f"{figures['expired']} expired, {figures['open']} open; {figures['offers']} offers, "
        f"{figures['accepted']} accepted, {figures['declined']} declined"
    )
    if wait["mean"] is not None:
        out.print(f"pickup wait {wait['mean']:.0f} s on average, p95 {wait['p95']:.0f} s (city seconds)")
    out.print(
        f"{figures['pings_ingested']} pings, {figures['pings_per_s']:.0f} a second; "
        f"{figures['events_published']} events published, {figures['events_consumed']} consumed; "
        f"{figures['invariant_violations']} invariants violated"
    )
