"""`hexhail replay …`: show recorded days on a map, or send recorded data through a running city."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from hexhail.cli.console import fail, out

if TYPE_CHECKING:
    from hexhail.runs.recorded_pings import RecordedPings
    from hexhail.runs.replay_pings import Installation, ReplayFigures
    from simulator.demand.inputs import BadRows


class _FolderFirst(TyperGroup):
    """Makes `replay DIR` mean `replay run DIR`: an argument that is not a command is taken as the folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


replay_app = typer.Typer(
    help="Play a recorded run on the map (`replay DIR`), or send recorded data through a running city.",
    cls=_FolderFirst,
    no_args_is_help=True,
)


@replay_app.command("run")
def run(
    folder: Annotated[Path, typer.Argument(help="a folder written by `hexhail simulate` or `hexhail export`")],
    city: Annotated[Path | None, typer.Option(help="the city folder; default: the one named in the run")] = None,
    port: Annotated[int, typer.Option(help="port of the page; 0 for any free port")] = 0,
) -> None:
    """Play a recorded run on a map in the browser, 1 to 100 times as fast, forwards and back; the default command."""
    from hexhail.runtime.kernel_cache import use_kernel_cache

    use_kernel_cache()
    from hexhail.runs.replay_page import build_app, serve
    from hexhail.runs.replay_run import RecordedRun
    from hexhail.runtime.settings import Settings

    try:
        with out.status("reconstructing positions"):
            recorded = RecordedRun(folder, city)
            app = build_app(recorded, Settings().web_dir)
        out.print(f"{len(recorded.events):,} events, {len(recorded.tracks.driver_id):,} drivers; Ctrl-C ends it")
        serve(app, port, out.print)
    except (ValueError, OSError) as error:
        fail(str(error))


@replay_app.command("pings")
def pings(
    file: Annotated[Path, typer.Argument(help="Parquet or CSV: driver_id, t_s, lat_deg, lng_deg and optional columns")],
    speed: Annotated[
        float, typer.Option(help="recorded seconds per second; must equal the speed of the city's clock")
    ] = 1.0,
    url: Annotated[
        str | None, typer.Option(help="address of the API's internal port; default: that of the settings")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="JSON file to write the figures to")] = None,
) -> None:
    """Send recorded pings to a running city over HTTP and report how many were accepted and rejected."""
    import httpx

    from hexhail.runs.recorded_pings import read_pings, usable_pings
    from simulator.demand.inputs import BadRows

    bad = BadRows(skip=True)
    try:
        recorded = usable_pings(file, read_pings(file), bad)
        _tell_unusable(bad)
        if not len(recorded):
            raise ValueError(f"{file} holds no ping that can be sent")
        result = asyncio.run(_replayed(recorded, _installation(url, speed)))
    except (ValueError, OSError, ImportError, TimeoutError, httpx.HTTPError) as error:
        fail(str(error) or repr(error))
    if figures is not None:
        told = {**result.as_dict(), "unusable": bad.count}
        figures.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    _print_figures(result)
    if result.unaccounted < 0:
        out.print("others sent pings meanwhile: the counts behind the edge hold theirs too")
    if result.unaccounted > 0:
        fail(f"{result.unaccounted} pings were neither accepted nor rejected: is an ingester running?")


def _tell_unusable(bad: BadRows) -> None:
    for reason in bad.reasons:
        out.print(escape(reason))
    if bad.count:
        more = f", {bad.count - len(bad.reasons)} of them not named above" if bad.count > len(bad.reasons) else ""
        out.print(f"{bad.count} pings are left out{more}")


def _installation(url: str | None, speed: float) -> Installation:
    """The running city of the environment's settings. Raises ValueError if its clock runs at another speed."""
    from api.auth.tokens import Role, Tokens
    from hexhail.runs.replay_pings import Installation
    from hexhail.runtime.settings import Settings
    from hexhail.runtime.token_keys import load_token_keys

    settings = Settings()
    if speed != settings.clock_speed:
        raise ValueError(
            f"--speed is {speed:g} and the city's clock runs at {settings.clock_speed:g}: cars would seem to drive "
            f"{speed / settings.clock_speed:g} times as fast. Start the city with HEXHAIL_CLOCK_SPEED={speed:g}, and "
            "set it here as well."
        )
    tokens = Tokens(load_token_keys(settings))
    return Installation(
        url or f"http://{settings.internal_host}:{settings.internal_port_or_default}",
        settings.clock(),
        lambda driver_id: tokens.issue(Role.DRIVER, driver_id, 24 * 3600),
        tokens.issue(Role.OPERATOR, "replay", 24 * 3600),
    )


async def _replayed(recorded: RecordedPings, city: Installation) -> ReplayFigures:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hexhail.runs.replay_pings import replay

    columns = TextColumn("pings"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("pings", total=len(recorded))
        return await replay(recorded, city, lambda figures: bar.update(task, completed=figures.sent))


def _print_figures(figures: ReplayFigures) -> None:
    out.print(
        f"{figures.sent} pings sent in {figures.elapsed_s:.1f} s, {figures.speed:.0f} recorded seconds in a second; "
        f"{figures.requests} requests"
    )
    out.print(f"{figures.accepted} accepted")
    for where, by_reason in (("at the edge", figures.refused), ("behind it", figures.rejected)):
        for reason, count in sorted(by_reason.items()):
            out.print(f"{count} rejected {where}: {reason.replace('_', ' ')}")
