"""Follows the map of a city on disk, and the maps that the other processes of its region have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from geo.city import City
from geo.roads.graph import GRAPH_FILE
from hexhail.cities.learned_files import LearnedFiles
from hexhail.cities.sections import load_checked_city
from hexhail.runtime.map_reports import AsideReports, MapReports, apart, aside_text, process_name
from kernel.points import Point
from kernel.section_reader import ParamsRefused
from pricing.errors import TariffRefused

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

#: What says that files are wrong, and not that a server is away.
WRONG_FILES = (ParamsRefused, TariffRefused, ValueError, OSError, TypeError)

#: Name -> inode, time of the last write in nanoseconds, size.
Stamp = dict[str, tuple[int, int, int]]


class MapMetrics:
    """What a process says of its maps to Prometheus; made once, by the composition root."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Gauge

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(name, about, ["region"], registry=registry)

        self.apart = gauge(
            "hexhail_map_processes_apart", "Processes of the region that have another map than this one."
        )
        self.refused = gauge("hexhail_map_refused", "1 while the map on disk cannot be taken over, else 0.")
        self.learned_aside = gauge(
            "hexhail_learned_files_set_aside", "Learned files that this process does not use: they are of another map."
        )


class CityWatch:
    """Holds the city of one region in one process, and takes a new map over when its file changes.

    Learned files that do not fit a map are set aside, and the map is taken over again once they change.

    A file is read when two looks in a row found the same: one that is being written is left alone. A map that cannot
    be taken over is refused, the one in use stays, and files that change again are tried again.
    """

    def __init__(
        self,
        role: str,
        folder: Path,
        city: City,
        redis: Redis,
        take_over: Callable[[City], Awaitable[None]],
        metrics: MapMetrics | None = None,
        learned: LearnedFiles | None = None,
    ) -> None:
        """``take_over`` puts a new city to use; what it raises of `WRONG_FILES` refuses the city.

        ``learned`` is where ``take_over`` and the start of the process set learned files aside.
        """
        self.city = city
        self.refusal = ""
        self._process = process_name(role)
        self._folder = folder
        self._reports = MapReports(redis, city.region.region_id)
        self._aside_reports = AsideReports(redis, city.region.region_id)
        self._learned = learned or LearnedFiles(city.region.region_id)
        self._told_aside = ""
        self._take_over = take_over
        self._metrics = metrics
        self._seen = self._tried = _stamp(folder)
        self._apart = ""

    async def look(self) -> None:
        """Take over a map that has changed; report ours, and log others. Raises what Redis raises."""
        await self._follow_files()
        await self._reports.tell(self._process, self.city.places.map_id)
        await self._tell_aside()
        map_of = await self._reports.read()
        said = apart(map_of, self.city.places.map_id)
        if said != self._apart:
            self._apart = said
            log.warning("maps_differ" if said else "maps_agree", region_id=self.city.region.region_id, detail=said)
        if self._metrics is not None:
            region_id, own = self.city.region.region_id, self.city.places.map_id
            self._metrics.apart.labels(region_id).set(sum(map_id != own for map_id in map_of.values()))
            self._metrics.refused.labels(region_id).set(bool(self.refusal))
            self._metrics.learned_aside.labels(region_id).set(len(self._learned.aside))

    async def note(self) -> str:
        """Say for whoever asks whether this process's map is that on disk and of the others. Raises RedisError."""
        own = self.city.places.map_id
        notes = [f"the map on disk is refused: {self.refusal}"] if self.refusal else []
        others = apart(await self._reports.read(), own)
        aside = aside_text(await self._aside_reports.read())
        return "; ".join([*notes, *(text for text in (others, aside) if text)]) or "ok"

    async def _tell_aside(self) -> None:
        """Report the learned files that are set aside, if there are or were any. Raises RedisError."""
        note = self._learned.note
        if note:
            await self._aside_reports.tell(self._process, note)
        elif self._told_aside:
            await self._aside_reports.withdraw(self._process)
        self._told_aside = note

    async def _follow_files(self) -> None:
        stamp = await asyncio.to_thread(_stamp, self._folder)
        is_at_rest, self._seen = stamp == self._seen, stamp
        is_left_over = self.refusal or self._learned.aside
        is_new = stamp.get(GRAPH_FILE) != self._tried.get(GRAPH_FILE) or (is_left_over and stamp != self._tried)
        if not is_at_rest or not is_new:
            return
        region_id = self.city.region.region_id
        try:
            city = await asyncio.to_thread(_load, self._folder, region_id)
            if city.places.map_id != self.city.places.map_id or self._learned.aside:
                await self._take_over_anew(city)
                log.info("map_in_use", region_id=region_id, map_id=city.places.map_id, before=self.city.places.map_id)
                self.city = city
        except WRONG_FILES as error:
            if not _is_of_files(error):
                raise
            self.refusal = str(error)
            log.error("map_refused", region_id=region_id, in_use=self.city.places.map_id, detail=str(error))  # noqa: TRY400
        else:
            self.refusal = ""
        self._tried = stamp

    async def _take_over_anew(self, city: City) -> None:
        """Take a city over; files of the one before are not set aside any more, unless that fails."""
        before = dict(self._learned.aside)
        self._learned.begin()
        try:
            await self._take_over(city)
        except Exception:
            self._learned.aside = before
            raise


def _is_of_files(error: Exception) -> bool:
    """Whether it is the files that are wrong: a server that does not answer is an OSError too."""
    return not isinstance(error, ConnectionError | TimeoutError)


def _load(folder: Path, region_id: str) -> City:
    """Read the city with all that is computed once. Raises what `load_checked_city` raises, and ValueError."""
    city = load_checked_city(folder)
    if city.region.region_id != region_id:
        raise ValueError(f"{folder} is of region {city.region.region_id!r} now, not {region_id!r}: restart to serve it")
    anywhere = Point(float(city.graph.lat_deg[0]), float(city.graph.lng_deg[0]))
    for computed in (city.places.at([anywhere]), city.search_cells, city.surge_cells):
        assert computed is not None
    return city


def _stamp(folder: Path) -> Stamp:
    """What tells each file of the folder from what it was; empty where there is no folder."""
    stamp = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            status = path.stat()
        except OSError:  # gone since it was listed
            continue
        stamp[path.name] = status.st_ino, status.st_mtime_ns, status.st_size
    return stamp
