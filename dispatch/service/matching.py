"""The matching rounds of one region."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import numpy as np
import structlog

from dispatch import commands as cmd
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused
from dispatch.events import MatchFound
from dispatch.matching.policy import MatchingPolicy
from dispatch.model import DispatchParams, RideState, SupplySnapshot
from dispatch.ports import Leases, Positions, RideStore, RoundLog, RoundReport, Supply
from dispatch.service.rides import RideService
from geo.roads import RoadGraph

log = structlog.get_logger(__name__)


class MatchingService:
    """Runs rounds: reads open rides and free drivers, decides, takes leases, sends offers.

    Nothing is kept from one round to the next, so that a new process goes on where a dead one stopped.
    """

    def __init__(
        self,
        *,
        region: str,
        graph: RoadGraph,
        policy: MatchingPolicy,
        params: DispatchParams,
        store: RideStore,
        rides: RideService,
        supply: Supply,
        leases: Leases,
        round_log: RoundLog,
        now: Callable[[], float],
    ) -> None:
        self._region = region
        self._graph = graph
        self._policy = policy
        self._params = params
        self._store = store
        self._rides = rides
        self._supply = supply
        self._leases = leases
        self._round_log = round_log
        self._now = now

    async def start(self) -> None:
        """Bring the fence back if Redis has lost it."""
        await self._leases.restore(await self._store.newest_token(self._region))

    async def run_round(self) -> RoundReport:
        """One round, from the snapshot to the offers sent."""
        began = time.perf_counter()
        n_expired = await self._expire_due()
        open_rides = await self._store.open_rides(self._region)
        engine = DispatchEngine(self._params, open_rides, self._policy)
        n_waiting = sum(ride.state is RideState.REQUESTED for ride in open_rides)
        supply = await self._snapshot() if n_waiting else None
        matches: list[MatchFound] = []
        if supply is not None:
            matches = await asyncio.to_thread(engine.run_round, supply, supply.now_s)
        report = RoundReport(
            at_s=self._now(),
            n_waiting=n_waiting,
            n_free=0 if supply is None else len(supply),
            n_matches=len(matches),
            n_offers=await self._send_offers(matches),
            n_expired=n_expired,
            wall_ms=(time.perf_counter() - began) * 1e3,
        )
        await self._round_log.write(report)
        return report

    async def _expire_due(self) -> int:
        open_rides = await self._store.open_rides(self._region)
        expected = DispatchEngine(self._params, open_rides).handle(cmd.ExpireDue(), self._now())
        due = sorted({event.ride_id for event in expected})
        return await _count(self._expire(ride_id) for ride_id in due)

    async def _expire(self, ride_id: str) -> int:
        return len((await self._rides.expire(ride_id)).events)

    async def _snapshot(self) -> SupplySnapshot:
        positions, free = await asyncio.gather(self._supply.positions(), self._store.free_drivers())
        return free_supply(positions, free, self._graph, self._params, self._now())

    async def _send_offers(self, matches: Sequence[MatchFound]) -> int:
        if not matches:
            return 0
        pairs = [(match.driver_id, match.ride_id) for match in matches]
        tokens = await self._take_leases(pairs)
        leased = [(match, token) for match, token in zip(matches, tokens, strict=True) if token is not None]
        return await _count(self._send_offer(match, token) for match, token in leased)

    async def _take_leases(self, pairs: Sequence[tuple[str, str]]) -> list[int | None]:
        return await self._leases.take(pairs, self._now(), self._params.offer_ttl_s)

    async def _send_offer(self, match: MatchFound, token: int) -> bool:
        command = cmd.SendOffer(match.ride_id, match.driver_id, token, match.pickup_eta_s)
        try:
            await self._rides.handle(command)
        except CommandRefused:  # cancelled, or taken, since the snapshot: the next round sees it
            await self._leases.release(match.driver_id, match.ride_id, token)
            return False
        return True


async def _count(steps: Iterable[Awaitable[int]]) -> int:
    """Take independent steps together and add up what they did; one that fails takes nothing from the others."""
    done = 0
    for result in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(result, BaseException):  # what was not done is still there for the next round
            log.error("step_failed", exc_info=result)
        else:
            done += result
    return done


def free_supply(
    positions: Positions, free: dict[str, int], graph: RoadGraph, params: DispatchParams, now_s: float
) -> SupplySnapshot:
    """The free drivers whose position is fresh, snapped to the road graph, sorted by id.

    `free` maps the drivers on shift without a live ride or offer to their seats.
    """
    fresh = now_s - positions.t_s <= params.stale_after_s
    keep = np.array([driver_id in free for driver_id in positions.driver_id], bool) & fresh
    rows = np.flatnonzero(keep)
    driver_id = tuple(positions.driver_id[row] for row in rows)
    node, _ = graph.snap(positions.lat_deg[rows], positions.lng_deg[rows])
    seats = np.array([free[driver] for driver in driver_id], np.int64)
    return SupplySnapshot(now_s, driver_id, np.asarray(node, np.int64), seats)
