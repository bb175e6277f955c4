"""`hexhail export` and `hexhail replay rides`: write a live run to disk, and verify that it replays identically."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from hexhail.cli.console import fail, out


def export(
    run_dir: Annotated[Path | None, typer.Argument(help="run folder of a demo; alternatively give --database")] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="folder to write")] = Path("hexhail-export"),
    database: Annotated[str | None, typer.Option(help="sqlite:///FILE or postgresql://…")] = None,
    records: Annotated[
        Path | None, typer.Option(help="folder of recorded rounds, the value of HEXHAIL_RECORD_DIR")
    ] = None,
    city: Annotated[Path | None, typer.Option(help="the city folder; default: the one in the settings")] = None,
) -> None:
    """Write a live run in the format of a simulated one: events, summary, and the recorded rounds if there are any."""
    from backing.sql.failures import DatabaseUnavailable
    from hexhail.runs.export import export as write
    from hexhail.runs.run_folder import ROUNDS_FOLDER
    from hexhail.runtime.connections import DependencyMissing

    if (run_dir is None) == (database is None):
        fail("Name either the run folder of a demo or --database.", code=2)
    if run_dir is not None:
        if not (file := run_dir / "hexhail.db").is_file():
            fail(f"{file} does not exist: a run folder is what `hexhail demo --run-dir` leaves.")
        database, records = f"sqlite:///{file.resolve()}", records or run_dir / ROUNDS_FOLDER
    assert database is not None  # one of the two was named
    try:
        summary = asyncio.run(write(database, _city_dir(city), records, out_dir))
    except (DependencyMissing, DatabaseUnavailable, OSError, ValueError) as error:
        fail(str(error))
    out.print(f"{summary['events']:,} events of {summary['requests']:,} rides and {summary['rounds']:,} rounds")
    if others := summary["rounds_of_other_maps"]:
        out.print(f"{others:,} rounds of other maps are left out: export them with --city and the folder of that map")
    out.print(f"events_sha256 {summary['events_sha256']} in {out_dir}")


def rides(
    folder: Annotated[Path, typer.Argument(help="a folder written by `hexhail export` or `hexhail simulate`")],
    city: Annotated[Path | None, typer.Option(help="the city folder; default: the one in the settings")] = None,
) -> None:
    """Decide a recorded run again and check that every event and every round is the same, bit for bit."""
    from hexhail.runtime.kernel_cache import use_kernel_cache

    use_kernel_cache()
    from dispatch.service.replay import ReplayDiverged
    from hexhail.runs.export import replay

    try:
        result = replay(folder, _city_dir(city))
    except (ReplayDiverged, OSError, ValueError) as error:
        fail(str(error))
    out.print(f"{result.events:,} events: recorded {result.recorded_sha256}")
    out.print(f"{' ' * len(f'{result.events:,}')}        replayed {result.replayed_sha256}")
    out.print(f"{result.rounds:,} rounds, {len(result.rounds_apart_s)} decided differently")
    if not result.is_same:
        fail("The replay differs from the recording: was it recorded with another version or other roads?")


def _city_dir(city: Path | None) -> Path:
    from hexhail.runtime.settings import Settings

    return city or Settings().city_dir
