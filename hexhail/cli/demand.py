"""`hexhail city demand`: riders and drivers for a simulated day."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hexhail.cli.console import fail, out

if TYPE_CHECKING:
    from hexhail.cities.demand import ZoneFiles


def demand(
    city: Annotated[Path, typer.Argument(help="a city folder")],
    out_dir: Annotated[Path, typer.Option("--out", help="folder to write requests, drivers and what they are into")],
    date: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="the local day")],
    trips: Annotated[float | None, typer.Option(help="how many; with --volumes as many as were counted")] = None,
    drivers: Annotated[int, typer.Option(help="how many, spread as the pickups of the day are")] = 1000,
    zones: Annotated[Path | None, typer.Option(help="zone,lat,lng of each zone's middle; goes with --volumes")] = None,
    volumes: Annotated[
        Path | None, typer.Option(help="zone,hour,pickups,dropoffs and, if you like, day_of_week")
    ] = None,
    seen: Annotated[Path | None, typer.Option(help="trips: pickup_lat,pickup_lng,dropoff_lat,dropoff_lng")] = None,
    seed: Annotated[int, typer.Option(help="of the draw")] = 1,
) -> None:
    """Draw a day of requests: from what zones counted and trips seen between them, or a sketch from the streets alone.

    Either is a model, and `demand.json` says so. Files are CSV, CSV.gz or parquet.
    """
    from hexhail.cities.demand import REQUESTS_FILE, make_demand, write_demand

    try:
        from geo.city import load_city

        loaded = load_city(city)
        files = _files(zones, volumes, seen)
        with out.status("reading the city") as status:
            made = make_demand(loaded, date.date(), trips, drivers, seed, files, lambda what: status.update(what))
            status.update("writing")
            write_demand(made, out_dir)
    except (ValueError, OSError) as error:
        fail(str(error))
    out.print(f"{len(made.requests):,} requests and {drivers:,} drivers in {out_dir} ({REQUESTS_FILE}, …)")
    for hour in made.about.get("hours_skipped_by_clocks", []):
        out.print(f"nobody asks from {hour % 24}:00 to {hour % 24 + 1}:00: the clocks are put forward over that hour")
    out.print(str(made.about["what"]))


def _files(zones: Path | None, volumes: Path | None, seen: Path | None) -> ZoneFiles | None:
    from hexhail.cities.demand import ZoneFiles

    if zones is None and volumes is None and seen is None:
        return None
    if zones is None or volumes is None or seen is None:
        raise ValueError("--zones, --volumes and --seen go together: give all three, or none for a sketch")
    return ZoneFiles(zones, volumes, seen)
