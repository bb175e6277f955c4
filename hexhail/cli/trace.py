"""`hexhail trace`: which driver was asked for a ride, and why."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from hexhail.cli.console import fail, out

if TYPE_CHECKING:
    from dispatch.matching.reasons import RideTrace


def trace(
    ride_id: Annotated[str, typer.Argument(help="a ride that was in a matching round within the last hour")],
    rounds: Annotated[int, typer.Option(help="how many of its last rounds to show", min=1)] = 3,
) -> None:
    """Show for each round of a ride which driver was asked, the scores of the others, and why they were not asked."""
    from dispatch.matching.trace_text import trace_lines
    from geo.city import load_city
    from hexhail.runtime.connections import DependencyMissing
    from hexhail.runtime.settings import Settings

    try:
        settings = Settings()
        region = load_city(settings.city_dir).region
        traces = asyncio.run(_read(settings.redis_url, region.region_id, ride_id))
        zone = ZoneInfo(region.timezone)
    except (ValueError, OSError, DependencyMissing) as error:
        fail(str(error))
    if not traces:
        fail(
            f"nothing is known of a ride {ride_id} in {region.region_id}: it never waited in a round, or not within "
            "the last hour"
        )
    for line in trace_lines(traces[:rounds], lambda at_s: datetime.fromtimestamp(at_s, zone).isoformat(" ", "seconds")):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(traces) > rounds:
        out.print(f"{len(traces) - rounds} earlier rounds: --rounds {len(traces)}")


async def _read(redis_url: str, region_id: str, ride_id: str) -> list[RideTrace]:
    from dispatch.adapters.redis_traces import read_traces
    from hexhail.runtime.connections import connect_redis
    from hexhail.runtime.settings import Settings

    redis = await connect_redis(Settings(redis_url=redis_url))
    try:
        return await read_traces(redis, region_id, ride_id)
    finally:
        await redis.aclose()
