"""Reads drivable ways from an OpenStreetMap extract (.osm.pbf, .osm, .osm.bz2) by osmium."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from geo.roads.build import CityBuildError, Ways
from geo.roads.rules import Drivable, judge, limits_of

# Ways between two calls of `on_progress`: often enough to show progress, and cheap.
WAYS_PER_REPORT = 5_000
OFF_THE_EXTRACT = "points outside the extract"
TOO_SHORT = "ways with less than two points in the extract"


def read_ways(path: Path, country: str | None, on_progress: Callable[[int], None]) -> tuple[Ways, dict[str, int]]:
    """Return the drivable ways of an extract, and how many were left out by reason.

    ``on_progress`` gets the number of ways read. Raises CityBuildError if the file is missing, broken or without
    a road, or if osmium is not installed; ValueError for a country without default speeds.
    """
    limits_of(country)
    if not path.is_file():
        raise CityBuildError(f"there is no file {path}; give the path of an .osm.pbf extract")
    collector = _Collector()
    try:
        for seen, way in enumerate(_highways(path), start=1):
            collector.add(way, country)
            if seen % WAYS_PER_REPORT == 0:
                on_progress(seen)
    except RuntimeError as error:
        raise CityBuildError(f"{path} cannot be read as OpenStreetMap data ({error}); download it again") from error
    if not collector.forward_kmh:
        raise CityBuildError(f"{path} holds no road that cars may drive; is it an extract with highways?")
    return collector.ways(), dict(collector.dropped)


def _highways(path: Path) -> Iterator[Any]:
    try:
        import osmium
    except ImportError as error:
        raise CityBuildError("reading OpenStreetMap needs osmium; install hexhail[osm]") from error
    processor = osmium.FileProcessor(str(path), osmium.osm.NODE | osmium.osm.WAY)
    processor = processor.with_locations().with_filter(osmium.filter.KeyFilter("highway"))
    yield from (entity for entity in processor if entity.is_way())


class _Collector:
    """Gathers ways into flat lists; lists of floats are the fastest to grow in Python."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.offset = [0]
        self.point_id: list[int] = []
        self.lat_deg: list[float] = []
        self.lng_deg: list[float] = []
        self.forward_kmh: list[float] = []
        self.backward_kmh: list[float] = []

    def add(self, way: Any, country: str | None) -> None:
        judged = judge({tag.k: tag.v for tag in way.tags}, country)
        if not isinstance(judged, Drivable):
            self.dropped[judged] += 1
            return
        known = [node for node in way.nodes if node.location.valid()]
        self.dropped[OFF_THE_EXTRACT] += len(way.nodes) - len(known)
        if len(known) < 2:
            self.dropped[TOO_SHORT] += 1
            return
        self.point_id.extend(node.ref for node in known)
        self.lat_deg.extend(node.location.lat for node in known)
        self.lng_deg.extend(node.location.lon for node in known)
        self.offset.append(len(self.point_id))
        self.forward_kmh.append(judged.forward_kmh)
        self.backward_kmh.append(judged.backward_kmh)

    def ways(self) -> Ways:
        return Ways(
            np.array(self.offset, np.int64),
            np.array(self.point_id, np.int64),
            np.array(self.lat_deg),
            np.array(self.lng_deg),
            np.array(self.forward_kmh),
            np.array(self.backward_kmh),
        )
