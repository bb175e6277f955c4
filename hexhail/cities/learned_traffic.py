"""The learned traffic that a city's file asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from geo.city import City
from geo.learning.traffic import EdgeSpeeds
from hexhail.cities.learned_files import LearnedFiles
from kernel.section_reader import read_params
from traffic.model import LearnedTrafficParams

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from traffic.service.watch import TrafficWatch


def city_profile(city: City, folder: Path, learned: LearnedFiles) -> EdgeSpeeds | None:
    """Read the usual traffic named in `[learned_traffic]`; None if none is named, or if it is of other roads.

    Raises ParamsRefused, FileNotFoundError or ValueError, which say what is wrong.
    """
    params = read_params(city.sections, LearnedTrafficParams)
    if not (params.is_on and params.profile):
        return None
    path = folder / params.profile
    return learned.use(path, lambda: EdgeSpeeds.load(path, city.graph))


def traffic_watch(
    city: City, folder: Path, redis: Redis, now: Callable[[], float], learned: LearnedFiles
) -> TrafficWatch:
    """Make what follows the travel times in force of a city's region. Raises what `city_profile` raises."""
    from traffic.adapters.redis_weights import RedisWeights
    from traffic.service.watch import TrafficWatch

    params = read_params(city.sections, LearnedTrafficParams)
    store = RedisWeights(redis, city.region.region_id, city.graph)
    return TrafficWatch(city.region, city.graph, params, store, now, city_profile(city, folder, learned))
