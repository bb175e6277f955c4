"""Follows the weights in force, and gives whoever asks the roads as they are driven now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from geo.arrays import FloatArray
from geo.city import Region
from geo.learning.traffic import EdgeSpeeds
from geo.roads.graph import RoadGraph
from kernel.local_time import hours_of_week
from traffic.engine import base_factors
from traffic.model import LearnedTrafficParams
from traffic.ports import WeightsReads, WeightsUnusable

#: Wall seconds between two looks: one small question to Redis each.
LOOK_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class TrafficWatch:
    """Holds the road graph of one region under the weights in force.

    `roads` changes between two calls, never the graph that a call returned: whoever decides on one keeps it until the
    decision is made. Weights that are not renewed for `keep_s` count no more, also while Redis is away.
    """

    def __init__(
        self,
        region: Region,
        graph: RoadGraph,
        params: LearnedTrafficParams,
        store: WeightsReads,
        now: Callable[[], float],
        profile: EdgeSpeeds | None = None,
    ) -> None:
        """``graph`` holds free-flow travel times."""
        self._region = region
        self._graph = graph
        self._params = params
        self._store = store
        self._now = now
        self._profile = profile
        self._hour = -1
        self._base = graph
        self._stamp: tuple[int, int] | None = None
        self._learned = graph
        self._made_s = float("-inf")

    @property
    def source(self) -> str:
        """Which travel times count now: "learned", "profile" or "free_flow"."""
        if self._params.is_on and self._now() - self._made_s <= self._params.keep_s:
            return "learned"
        return "free_flow" if self._base is self._graph else "profile"

    def roads(self) -> RoadGraph:
        """The road graph with the travel times that count now."""
        return self._learned if self.source == "learned" else self._base

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # Redis is away: what is in force stays until it is too old
                log.warning("traffic_not_looked_at", region_id=self._region.region_id, error=repr(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Take over new weights, and the profile of a new hour. Raises what the store raises."""
        if not self._params.is_on:
            return
        await self._look_at_profile()
        stamp = await self._store.stamp()
        if stamp == self._stamp:
            return
        try:
            weights = await self._store.read()
        except WeightsUnusable as error:
            log.warning("weights_unusable", region_id=self._region.region_id, detail=str(error))
            weights = None
        self._stamp = stamp
        if weights is None:  # what Redis lost is as good as it was before: it counts until it is too old
            return
        # The read may be newer than the stamp: then the next look reads once more.
        self._learned = await asyncio.to_thread(self._times, weights.factor)
        self._made_s = weights.made_s
        log.info("traffic_in_force", region_id=self._region.region_id, version=weights.version, epoch=weights.epoch)

    async def _look_at_profile(self) -> None:
        hour = int(hours_of_week(self._now(), self._region.timezone)[0])
        if self._profile is None or hour == self._hour:
            return
        usual = await asyncio.to_thread(self._profile.factors, hour)
        self._base = await asyncio.to_thread(self._times, base_factors(self._graph, usual, self._params))
        self._hour = hour

    def _times(self, factor: FloatArray) -> RoadGraph:
        return self._graph.with_travel_times(self._graph.travel_time_s * factor)
