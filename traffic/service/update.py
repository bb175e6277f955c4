"""Updates of one region's travel times: proposed, judged, and put in force or refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from geo.arrays import FloatArray
from geo.city import Region
from geo.learning.map_matching import load_kernels
from geo.learning.traffic import EdgeSpeeds
from geo.roads.graph import RoadGraph
from kernel.local_time import hours_of_week
from traffic.engine import TrafficEngine, base_factors, in_force_at
from traffic.metrics import TrafficMetrics
from traffic.model import Candidate, Evidence, LearnedTrafficParams, Refusal, Weights
from traffic.ports import WeightsStore, WeightsUnusable
from traffic.rules.checks import refusal_of

log = structlog.get_logger(__name__)

#: Decides whether a candidate may come into force, given the metres of the edges.
Judge = Callable[[Candidate, FloatArray, LearnedTrafficParams], Refusal | None]


class UpdateService:
    """Learns one region's travel times while this process owns the region."""

    def __init__(
        self,
        region: Region,
        graph: RoadGraph,
        params: LearnedTrafficParams,
        store: WeightsStore,
        metrics: TrafficMetrics,
        *,
        profile: EdgeSpeeds | None = None,
        judge: Judge = refusal_of,
    ) -> None:
        self.region_id = region.region_id
        self._timezone = region.timezone
        self._graph = graph
        self._params = params
        self._store = store
        self._metrics = metrics
        self._profile = profile
        self._judge = judge
        self._engine: TrafficEngine | None = None
        self._epoch = 0
        self._due_s = 0.0

    def prepare(self) -> None:
        """Compile or load what the first update needs; before the process is in its group, for it misses heartbeats."""
        load_kernels(self._graph)

    async def take_over(self, now_s: float) -> None:
        """Begin a term as the one owner: with an epoch of its own, and without what an earlier term remembered."""
        self._engine = TrafficEngine(self._graph, self._params)
        self._epoch = await self._store.claim()
        self._due_s = now_s + self._params.update_every_s
        log.info("traffic_taken", region_id=self.region_id, epoch=self._epoch)

    def take(self, driver_ids: Sequence[str], place: FloatArray) -> None:
        """Take in believed pings; ``place (n, 3)`` holds t_s, lat_deg and lng_deg of each."""
        if self._engine is not None:
            self._engine.take(driver_ids, place)
            self._metrics.pings.labels(self.region_id).inc(len(driver_ids))

    async def update_if_due(self, now_s: float) -> None:
        """Make an update each `update_every_s`; the next one is due in any case, also if this one fails."""
        if self._engine is not None and now_s >= self._due_s:
            every_s = self._params.update_every_s
            self._due_s += every_s * (1.0 + (now_s - self._due_s) // every_s)
            await self.update(now_s)

    async def update(self, now_s: float) -> Refusal | None:
        """Make one update; returns why it was refused, None if it is in force. Raises what the store raises."""
        assert self._engine is not None, "take_over comes first"
        began_s = time.perf_counter()
        hour = int(hours_of_week(now_s, self._timezone)[0])
        usual = None if self._profile is None else await asyncio.to_thread(self._profile.factors, hour)
        base = base_factors(self._graph, usual, self._params)
        current = in_force_at(await self._stored(), base, now_s, self._params)
        age_s = now_s - current.made_s
        candidate = await asyncio.to_thread(self._engine.propose, current.factor, base, age_s, now_s)
        refusal = self._judge(candidate, self._graph.length_m, self._params)
        self._engine.settle(refusal)
        if refusal is None:
            await self._put(candidate, now_s)
        else:
            await self._refuse(refusal, candidate.evidence, now_s)
        self._observe(candidate.evidence, time.perf_counter() - began_s)
        return refusal

    async def _stored(self) -> Weights | None:
        try:
            return await self._store.read()
        except WeightsUnusable as error:  # of roads that were built anew since: these begin without any
            log.warning("weights_unusable", region_id=self.region_id, detail=str(error))
            return None

    async def _put(self, candidate: Candidate, now_s: float) -> None:
        version = await self._store.put(self._epoch, candidate.factor, now_s, candidate.evidence)
        outcome = "superseded" if version is None else "in_force"
        self._metrics.updates.labels(self.region_id, outcome).inc()
        log.info(
            "traffic_update", region_id=self.region_id, outcome=outcome, version=version, **_told(candidate.evidence)
        )
        if version is not None:
            self._metrics.version.labels(self.region_id).set(version)
            self._metrics.made_s.labels(self.region_id).set(now_s)

    async def _refuse(self, refusal: Refusal, evidence: Evidence, now_s: float) -> None:
        self._metrics.updates.labels(self.region_id, refusal.value).inc()
        # Too few drivers is every night's news; the other reasons are somebody's fault.
        say = log.info if refusal is Refusal.COVERAGE else log.warning
        say("traffic_refused", region_id=self.region_id, reason=refusal.value, **_told(evidence))
        await self._store.note_refusal(self._epoch, refusal, now_s, evidence)

    def _observe(self, evidence: Evidence, took_s: float) -> None:
        metrics, region_id = self._metrics, self.region_id
        metrics.edges.labels(region_id).set(evidence.edges)
        metrics.drivers.labels(region_id).set(evidence.drivers)
        metrics.pace.labels(region_id).set(evidence.pace)
        for weights, error in (("in_force", evidence.error_in_force), ("candidate", evidence.error_candidate)):
            if error is not None:
                metrics.error.labels(region_id, weights).set(error)
        metrics.update_seconds.labels(region_id).observe(took_s)


def _told(evidence: Evidence) -> dict[str, float | None]:
    """The evidence for a log line."""
    return {
        "drivers": evidence.drivers,
        "steps": evidence.steps,
        "edges": evidence.edges,
        "pace": round(evidence.pace, 3),
        "held_back_steps": evidence.held_back_steps,
        "error_in_force": evidence.error_in_force,
        "error_candidate": evidence.error_candidate,
    }
