"""`hexhail pings …`: inspect the pings that the ingester rejected."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hexhail.cli.console import fail, out

if TYPE_CHECKING:
    from location_ingest.model import RejectedPing

pings_app = typer.Typer(help="Inspect the positions that drivers send.", no_args_is_help=True)


@pings_app.callback()
def _pings() -> None:
    """Keep `rejected` a subcommand although it is the only one."""


@pings_app.command("rejected")
def rejected(
    samples: Annotated[int, typer.Option(help="how many to show of each reason", min=0, max=20)] = 5,
) -> None:
    """Count the rejected pings by reason and show the newest of each."""
    from geo.city import load_city
    from hexhail.runtime.connections import DependencyMissing
    from hexhail.runtime.settings import Settings

    try:
        settings = Settings()
        region_id = load_city(settings.city_dir).region.region_id
        counts, found = asyncio.run(_read(settings.redis_url, region_id))
    except (ValueError, OSError, DependencyMissing) as error:
        fail(str(error))
    if not counts:
        out.print(f"the ingester has rejected no ping of {escape(region_id)}")
    for reason, count in sorted(counts.items()):
        out.print(f"{count} {reason.replace('_', ' ')}")
        for sample in [sample for sample in found if sample.reason == reason][:samples]:
            out.print(f"  {escape(_line(sample))}")


async def _read(redis_url: str, region_id: str) -> tuple[dict[str, int], list[RejectedPing]]:
    from hexhail.runtime.connections import connect_redis
    from hexhail.runtime.settings import Settings
    from location_ingest.adapters.redis_cells import RedisCells
    from location_ingest.adapters.redis_samples import RedisSamples

    redis = await connect_redis(Settings(redis_url=redis_url))
    try:
        return await RedisCells(redis).rejected(region_id), await RedisSamples(redis).read(region_id)
    finally:
        await redis.aclose()


def _line(sample: RejectedPing) -> str:
    ping = sample.ping
    optional = [f"{name} {value:g}" for name, value in _known_values(ping.heading_deg, ping.speed_mps, ping.accuracy_m)]
    return " ".join([_time(ping.t_s), ping.driver_id, f"{ping.lat_deg:.6f} {ping.lng_deg:.6f}", *optional])


def _known_values(
    heading_deg: float | None, speed_mps: float | None, accuracy_m: float | None
) -> list[tuple[str, float]]:
    named = (("heading", heading_deg), ("speed", speed_mps), ("accuracy", accuracy_m))
    return [(name, value) for name, value in named if value is not None]


def _time(t_s: float) -> str:
    try:
        return datetime.fromtimestamp(t_s, UTC).isoformat(timespec="milliseconds")
    # Some pings are rejected because their time is not valid.
    except (ValueError, OverflowError, OSError):
        return str(t_s)
