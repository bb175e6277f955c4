"""Reads drivable ways from an OpenStreetMap extract (.osm.pbf, .osm, .osm.bz2, .osm.gz) by osmium.

The file is read twice, ways before nodes: then the order of a file does not matter, nor the sign of an id, which is
negative for what an editor has added. osmium's own index of locations knows neither.
"""

from __future__ import annotations

import bz2
import gzip
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast
from xml.etree import ElementTree

import numpy as np

from geo.arrays import BoolArray, FloatArray, IntArray
from geo.roads.access import closed_by
from geo.roads.build import CityBuildError, Ways
from geo.roads.rules import Drivable, judge, limits_of

# Ways between two calls of `on_progress`: often enough to show progress, and cheap.
WAYS_PER_REPORT = 5_000
OFF_THE_EXTRACT = "points outside the extract"
TOO_SHORT = "ways with less than two points in the extract"
_CHUNK_BYTES = 1 << 20


@dataclass
class Found:
    """What a reading counted: ways and points left out by reason, closed points by barrier, ways with wrong limits."""

    dropped: Counter[str] = field(default_factory=Counter)
    closed_points: Counter[str] = field(default_factory=Counter)
    wrong_limits: int = 0


def read_ways(
    path: Path, country: str | None, keys: Sequence[str], on_progress: Callable[[int], None]
) -> tuple[Ways, Found]:
    """Return the drivable ways of an extract, and what was left out or closed.

    ``keys`` are the access keys that count for taxis.
    ``on_progress`` gets the number of ways read. Raises CityBuildError if the file is missing, broken or without
    a road, or if osmium is not installed; ValueError for a country without default speeds.
    """
    limits_of(country)
    if not path.is_file():
        raise CityBuildError(f"there is no file {path}; give the path of an .osm.pbf extract")
    collector = _Collector(country, keys)
    try:
        deleted = _deleted_by_an_editor(path)
        for seen, way in enumerate(_highways(path), start=1):
            if not (way.deleted or ("way", way.id) in deleted):
                collector.add(way)
            if seen % WAYS_PER_REPORT == 0:
                on_progress(seen)
        if not collector.forward_kmh:
            raise CityBuildError(f"{path} holds no road that cars may drive; is it an extract with highways?")
        points = _points(path, collector, deleted)
    except (RuntimeError, OSError, EOFError, ElementTree.ParseError) as error:
        raise CityBuildError(f"{path} cannot be read as OpenStreetMap data ({error}); download it again") from error
    return collector.ways(points), collector.found


@dataclass(frozen=True)
class _Points:
    """Points of roads (n,), by ascending id."""

    point_id: IntArray
    lat_deg: FloatArray
    lng_deg: FloatArray
    is_closed: BoolArray


def _processor(path: Path, kind: str) -> Any:
    try:
        import osmium
    except ImportError as error:
        raise CityBuildError("reading OpenStreetMap needs osmium; install hexhail[osm]") from error
    return osmium.FileProcessor(str(path), getattr(osmium.osm, kind))


def _highways(path: Path) -> Iterator[Any]:
    processor = _processor(path, "WAY")
    from osmium.filter import KeyFilter

    yield from processor.with_filter(KeyFilter("highway"))


def _points(path: Path, collector: _Collector, deleted: set[tuple[str, int]]) -> _Points:
    """Read the places of the points that the ways name, and whether a barrier closes them."""
    ids, lat_deg, lng_deg, is_closed = [], [], [], []
    for node in _nodes(path, np.unique(np.array(collector.point_id, np.int64))):
        if node.deleted or ("node", node.id) in deleted or not node.location.valid():
            continue
        ids.append(node.id)
        lat_deg.append(node.location.lat)
        lng_deg.append(node.location.lon)
        is_closed.append(collector.closes(node))
    # Of a point that is given twice the later counts.
    point_id, from_the_end = np.unique(np.array(ids[::-1], np.int64), return_index=True)
    at = len(ids) - 1 - from_the_end
    return _Points(point_id, np.array(lat_deg)[at], np.array(lng_deg)[at], np.array(is_closed, np.bool_)[at])


def _nodes(path: Path, wanted: IntArray) -> Iterator[Any]:
    from osmium.filter import IdFilter

    yield from _processor(path, "NODE").with_filter(IdFilter(wanted[wanted > 0].tolist()))
    negative = set(wanted[wanted < 0].tolist())
    if negative:  # only in files of editors, which are small
        yield from (node for node in _processor(path, "NODE") if node.id in negative)


def _deleted_by_an_editor(path: Path) -> set[tuple[str, int]]:
    """Kind and id of what JOSM marks as deleted (`action="delete"`) and keeps in its file until it is uploaded."""
    if ".pbf" in path.suffixes or not _holds(path, b"action="):
        return set()
    with _opened(path) as file:
        found = ((entity.tag, entity.attrib) for _, entity in ElementTree.iterparse(file))  # noqa: S314 - expat bounds expansion
        return {(kind, int(of["id"])) for kind, of in found if of.get("action") == "delete" and "id" in of}


def _holds(path: Path, text: bytes) -> bool:
    tail = b""
    with _opened(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            if text in tail + chunk:
                return True
            tail = chunk[-len(text) :]
    return False


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".bz2":
        return cast(BinaryIO, bz2.open(path))
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


class _Collector:
    """Gathers ways into flat lists; lists of numbers are the fastest to grow in Python."""

    def __init__(self, country: str | None, keys: Sequence[str]) -> None:
        self.found = Found()
        self.offset = [0]
        self.point_id: list[int] = []
        self.forward_kmh: list[float] = []
        self.backward_kmh: list[float] = []
        self._country = country
        self._keys = keys

    def add(self, way: Any) -> None:
        judged = judge({tag.k: tag.v for tag in way.tags}, self._country, self._keys)
        if not isinstance(judged, Drivable):
            self.found.dropped[judged] += 1
            return
        self.found.wrong_limits += judged.has_wrong_limit
        self.point_id.extend([node.ref for node in way.nodes])
        self.offset.append(len(self.point_id))
        self.forward_kmh.append(judged.forward_kmh)
        self.backward_kmh.append(judged.backward_kmh)

    def closes(self, node: Any) -> bool:
        """Whether a barrier closes a point; counts it."""
        if not len(node.tags):
            return False
        barrier = closed_by({tag.k: tag.v for tag in node.tags}, self._keys)
        if barrier:
            self.found.closed_points[barrier] += 1
        return bool(barrier)

    def ways(self, points: _Points) -> Ways:
        """The ways along the points that are known; a way with a gap is two ways, never a straight line over it."""
        ids, offset = np.array(self.point_id, np.int64), np.array(self.offset, np.int64)
        at = np.searchsorted(points.point_id, ids)
        is_known = at < points.point_id.shape[0]
        is_known[is_known] = points.point_id[at[is_known]] == ids[is_known]
        way_of = np.repeat(np.arange(offset.shape[0] - 1), np.diff(offset))
        # A run of known points of one way; runs of one point lead nowhere.
        begins = np.append(True, (way_of[1:] != way_of[:-1]) | ~is_known[:-1])[: ids.shape[0]]
        run = np.cumsum(begins & is_known) - 1
        length = np.bincount(run[is_known], minlength=int(run.max(initial=-1)) + 1)
        is_kept = is_known & (length[np.maximum(run, 0)] >= 2)
        self._count_gaps(is_known, way_of[is_kept])
        first = np.flatnonzero(is_kept & np.append(True, run[1:] != run[:-1])[: ids.shape[0]])
        kept = at[is_kept]
        new_offset = np.append(np.searchsorted(np.flatnonzero(is_kept), first), kept.shape[0])
        kmh = np.array(self.forward_kmh), np.array(self.backward_kmh)
        return Ways(
            new_offset, ids[is_kept], points.lat_deg[kept], points.lng_deg[kept],
            kmh[0][way_of[first]], kmh[1][way_of[first]], points.is_closed[kept],
        )  # fmt: skip

    def _count_gaps(self, is_known: BoolArray, way_kept: IntArray) -> None:
        self.found.dropped[OFF_THE_EXTRACT] += int((~is_known).sum())
        self.found.dropped[TOO_SHORT] += len(self.forward_kmh) - int(np.unique(way_kept).shape[0])
