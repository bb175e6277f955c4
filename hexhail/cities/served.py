"""The cities whose regions share an installation's stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from geo.city import CITY_FILE, City, Region
from hexhail.cities.sections import load_checked_city
from kernel.section_reader import Sections, read_params

log = structlog.get_logger(__name__)

T = TypeVar("T")


def load_cities(folders: Sequence[Path]) -> list[City]:
    """Read the city folders. Raises ValueError for two of one region, and what `load_checked_city` raises."""
    cities = [load_checked_city(folder) for folder in folders]
    seen: dict[str, Path] = {}
    for city, folder in zip(cities, folders, strict=True):
        region_id = city.region.region_id
        if region_id in seen:
            raise ValueError(
                f"{folder} and {seen[region_id]} are both of region {region_id!r}: give one another region_id"
            )
        seen[region_id] = folder
    return cities


def surge_resolutions(folders: Sequence[Path]) -> dict[str, int]:
    """H3 resolution of the surge cells of each region, without reading its roads; regions that cannot be read lack."""
    found = {}
    for folder in folders:
        try:
            region = read_params(Sections.read(folder / CITY_FILE), Region)
        except (OSError, ValueError) as error:
            log.warning("city_not_read", folder=str(folder), error=str(error))
            continue
        found[region.region_id] = region.surge_resolution
    return found


def check_edge(folder: Path, folders: Sequence[Path]) -> None:
    """Raise ValueError if the city of an edge is none of those that are served: its rides would wait for nobody."""
    if folder.resolve() not in {other.resolve() for other in folders}:
        served = ", ".join(map(str, folders))
        raise ValueError(f"HEXHAIL_CITY_DIR must name one of HEXHAIL_CITY_DIRS ({served}), not {folder}")


def common_to(section: str, params: Sequence[T]) -> T:
    """The parameters that all cities have. Raises ValueError if one has others."""
    if any(other != params[0] for other in params):
        raise ValueError(f"the sections [{section}] of the cities differ, but one ingester serves them all")
    return params[0]
