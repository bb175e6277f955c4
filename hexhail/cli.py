"""The command line. Imports lazily: `--help` must not wait for compilers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hexhail.cli_city import city_app
from hexhail.cli_compare import compare
from hexhail.cli_export import export, rides
from hexhail.cli_pings import pings_app
from hexhail.cli_replay import replay_app
from hexhail.cli_simulate import simulate
from hexhail.cli_trace import trace
from hexhail.console import fail, out

if TYPE_CHECKING:
    from hexhail.settings import Settings

app = typer.Typer(
    help="A ride-hailing dispatch engine: run a city, serve one, look after it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    # A traceback in a log is one event; drawn as a box it is forty lines of them.
    pretty_exceptions_enable=False,
)
app.add_typer(city_app, name="city")
app.command()(simulate)
app.command()(trace)
app.command()(export)
replay_app.command("rides")(rides)
app.command()(compare)
app.add_typer(replay_app, name="replay")
app.add_typer(pings_app, name="pings")


def cache_dir() -> Path:
    """Where compiled kernels are kept between runs."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hexhail"
    numba = os.environ.get("NUMBA_CACHE_DIR")
    return Path(numba).parent if numba else default


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(help="end after so many seconds; without it on Ctrl-C")] = None,
    speed: Annotated[float, typer.Option(help="city seconds in a second")] = 5.0,
    drivers: Annotated[int, typer.Option(help="how many drivers work in the city")] = 300,
    seed: Annotated[int, typer.Option(help="of the riders' and drivers' behaviour")] = 1,
    port: Annotated[int, typer.Option(help="of the API and the map; 0 for any free one")] = 8080,
    time_of_day: Annotated[str, typer.Option("--from", help="local time at which the city wakes")] = "20:30",
    summary: Annotated[Path | None, typer.Option(help="write the figures there as JSON")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="keep logs and data there; without it they are removed")] = None,
    city: Annotated[Path | None, typer.Option(help="a city folder; without it Manhattan")] = None,
) -> None:
    """Run a city on this machine: servers, services, riders, drivers and a live map."""
    from hexhail.demo import DemoParams, run_demo
    from hexhail.progress import DemoProgress
    from hexhail.settings import MANHATTAN
    from hexhail.supervisor import GaveUp

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
        )
    except ValueError as error:
        fail(str(error), code=2)
    folder = run_dir or Path(tempfile.mkdtemp(prefix="hexhail-"))
    out.print(f"run folder {folder}, compiled kernels in {params.cache_dir / 'numba'}")
    out.print(f"for tokens and the doctor, in another shell: set -a; . {folder}/city.env; set +a")
    try:
        with DemoProgress(out) as progress:
            result = asyncio.run(run_demo(replace(params, run_dir=folder), progress.say, progress.show))
    except (ValueError, OSError, TimeoutError, RuntimeError, GaveUp) as error:
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


@app.command()
def serve(
    role: Annotated[str | None, typer.Argument(help="api, ingester, matcher, pricer or relay; without it all")] = None,
) -> None:
    """Serve a city: one role in this process, or all of them under a supervisor. Settings: HEXHAIL_… (see doctor)."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_dir() / "numba"))
    from pydantic import ValidationError

    from hexhail.roles import ROLES, run
    from hexhail.settings import Settings

    if role is not None and role not in ROLES:
        fail(f"there is no role {role!r}: choose one of {', '.join(ROLES)}", code=2)
    try:
        settings = Settings()
        if role is None:
            _serve_all(list(ROLES), settings)
        else:
            run(role, settings)
    except (ValidationError, ValueError, FileNotFoundError) as error:
        fail(str(error))


def _serve_all(roles: list[str], settings: Settings) -> None:
    from hexhail.serve import serve_all
    from hexhail.supervisor import GaveUp

    try:
        asyncio.run(serve_all(roles, settings, out.print))
    except GaveUp as error:
        fail(str(error))


@app.command()
def doctor() -> None:
    """Check every part of this installation and say how to mend what fails."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_dir() / "numba"))
    from hexhail.doctor import examine, print_findings

    findings = asyncio.run(examine())
    print_findings(out, findings)
    if any(not finding.ok and finding.is_needed for finding in findings):
        raise typer.Exit(1)


@app.command()
def token(
    role: Annotated[str, typer.Option(help="rider, driver or operator")],
    subject: Annotated[str, typer.Option(help="id of the rider, driver or operator")] = "me",
    hours: Annotated[float, typer.Option(help="how long it is good for", min=0.01, max=24 * 365)] = 1.0,
) -> None:
    """Sign a token with the first key of HEXHAIL_TOKEN_SECRETS."""
    from api.tokens import Role, Tokens
    from hexhail.settings import Settings

    try:
        tokens = Tokens({kid: secret.get_secret_value() for kid, secret in Settings().token_secrets.items()})
        out.print(tokens.issue(Role(role), subject, hours * 3600))
    except ValueError as error:
        fail(str(error))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Run benchmarks: `hexhail bench list`; they are in the source checkout."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_dir() / "numba"))
    sys.path.insert(0, str(Path(__file__).parents[1]))
    try:
        from benchmarks.__main__ import main as run_benchmarks
    except ImportError:
        fail("the benchmarks are not installed with the package: run this in a checkout, after `make bench` or uv")
    raise typer.Exit(run_benchmarks(context.args))


def main() -> None:
    """Entry point of `hexhail`."""
    app()
