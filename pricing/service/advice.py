"""Advice to the idle drivers of one region, planned every few minutes from what the stores hold."""

from __future__ import annotations

import asyncio
import math
import zlib

import numpy as np
import structlog

from geo.city import Region
from pricing.metrics import AdviceMetrics
from pricing.ports import AdviceBoard, CountedSignals, Supply
from pricing.rules.advice import AdvicePlanner, Plan
from pricing.rules.forecast import QUARTER_S
from pricing.service.local_time import local_time


class AdviceService:
    """Makes plans; all that they rest on is in the stores, so a restart loses nothing.

    Two pricers of a region would replace each other's plans: each is whole, and drivers keep advice that stands.
    """

    def __init__(
        self,
        region: Region,
        planner: AdvicePlanner,
        *,
        half_life_s: float,
        signals: CountedSignals,
        supply: Supply,
        board: AdviceBoard,
        metrics: AdviceMetrics,
    ) -> None:
        self.region_id = region.region_id
        self._timezone = region.timezone
        self._planner = planner
        self._half_life_s = half_life_s
        self._signals = signals
        self._supply = supply
        self._board = board
        self._metrics = metrics
        self._log = structlog.get_logger(__name__).bind(region=region.region_id)
        #: The plan before, when it was made and the requests counted then: to compare its forecast with what came.
        self._before: tuple[Plan, float, float] | None = None

    async def plan_once(self, now_s: float) -> Plan:
        """Plan and publish; returns the plan. Raises what the stores raise; nothing is published then."""
        counted = await self._signals.read(now_s)
        idle, standing = await asyncio.gather(self._supply.idle_drivers(now_s), self._board.read())
        # The same plan for the same moment, whichever process makes it.
        generator = np.random.default_rng([zlib.crc32(self.region_id.encode()), int(now_s * 1e3)])
        day_s = local_time(self._timezone, now_s).second_of_day
        plan = await asyncio.to_thread(self._planner.plan, idle, counted.requests, standing, now_s, day_s, generator)
        await self._board.replace(plan.advice, now_s)
        self._report(plan, float(np.sum(counted.requests)), len(idle.driver_id), now_s)
        return plan

    def _report(self, plan: Plan, counted: float, idle: int, now_s: float) -> None:
        self._metrics.advised.labels(self.region_id).inc(len(plan.new_ids))
        self._metrics.standing.labels(self.region_id).set(len(plan.advice))
        if self._before is not None:
            before, at_s, counted_then = self._before
            expected, came = self._aged(before, at_s, counted_then, counted, now_s)
            self._metrics.expected.labels(self.region_id).inc(expected)
            self._metrics.came.labels(self.region_id).inc(came)
        self._before = plan, now_s, counted
        self._log.info("advice_planned", idle=idle, new=len(plan.new_ids), standing=len(plan.advice))

    def _aged(
        self, before: Plan, at_s: float, counted_then: float, counted: float, now_s: float
    ) -> tuple[float, float]:
        """Requests expected and come since the plan before, both decayed as the counts are."""
        kept = 0.5 ** ((now_s - at_s) / self._half_life_s)
        came = max(0.0, counted - counted_then * kept)
        return float(before.forecast.sum()) / QUARTER_S * self._half_life_s / math.log(2.0) * (1.0 - kept), came
