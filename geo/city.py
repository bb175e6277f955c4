"""A city as shipped or built: the region it serves and the roads under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from geo import cells
from geo.distances import lng_extent_deg
from geo.places import Places
from geo.roads.graph import RoadGraph
from geo.roads.snap import points_along
from kernel.money import MINOR_UNIT_DIGITS
from kernel.section_reader import Sections, read_params

CITY_FILE = "city.toml"


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the world with one tariff, currency, time zone and matching owner."""

    SECTION: ClassVar[str] = "region"

    region_id: str
    name: str
    timezone: str
    currency: str
    #: H3 resolution of the cells that hold drivers.
    search_resolution: int
    #: H3 resolution of the cells that carry a surge multiplier.
    surge_resolution: int
    #: A point farther than this from every road is outside the region.
    off_road_m_max: float
    attribution: str

    def __post_init__(self) -> None:
        for name, value in (("search_resolution", self.search_resolution), ("surge_resolution", self.surge_resolution)):
            if not 0 <= value <= 15:
                raise ValueError(f"{name} must be an H3 resolution, 0 to 15, not {value}")
        if not self.off_road_m_max > 0:
            raise ValueError(f"off_road_m_max must be positive metres, not {self.off_road_m_max}")
        if self.currency not in MINOR_UNIT_DIGITS:
            raise ValueError(
                f"currency must be a current currency of ISO 4217 in capitals, such as USD, not {self.currency!r}"
            )


@dataclass(frozen=True)
class City:
    """One region with its road graph and the raw sections of its `city.toml`."""

    region: Region
    graph: RoadGraph
    sections: Mapping[str, Any]

    @cached_property
    def places(self) -> Places:
        """Where points lie on this map, and the map's id."""
        return Places.of(self.graph, self.region.off_road_m_max)

    @cached_property
    def search_cells(self) -> NDArray[np.uint64]:
        """Every cell a driver of this region can be in: those of the roads and a ring round them, sorted, (c,)."""
        return self._cells_round_roads(self.region.search_resolution)

    @cached_property
    def surge_cells(self) -> NDArray[np.uint64]:
        """Every cell that carries a price, sorted, (c,)."""
        return self._cells_round_roads(self.region.surge_resolution)

    @cached_property
    def bounds_deg(self) -> dict[str, float]:
        """The smallest box round all nodes: south, west, north, east; west is above east where it holds 180°."""
        lat = self.graph.lat_deg
        west, east = lng_extent_deg(self.graph.lng_deg)
        return {"south": float(lat.min()), "west": west, "north": float(lat.max()), "east": east}

    def _cells_round_roads(self, resolution: int) -> NDArray[np.uint64]:
        lat_deg, lng_deg = points_along(self.graph, cells.edge_m(resolution) / 2.0)
        own = np.unique(cells.latlng_to_cells(lat_deg, lng_deg, resolution))
        return np.unique(np.concatenate([cells.disk(int(cell), 1) for cell in own]))


def load_city(folder: Path) -> City:
    """Read a city folder (`city.toml`, `roads.npz`).

    Other sections are read by the services they belong to. Raises FileNotFoundError that names what is missing,
    ParamsRefused for a wrong section [region], ValueError for a wrong road graph.
    """
    sections = _read_sections(folder)
    return City(read_params(sections, Region), RoadGraph.load(folder), sections)


def load_region(folder: Path) -> Region:
    """Read the region of a city folder, without its roads. Raises FileNotFoundError and ParamsRefused likewise."""
    return read_params(_read_sections(folder), Region)


def _read_sections(folder: Path) -> Sections:
    path = folder / CITY_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: is {folder} a city folder? See `hexhail city --help`.")
    return Sections.read(path)
