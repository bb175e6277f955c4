"""The matching rounds of one region."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from dispatch import commands as cmd
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused
from dispatch.events import MatchFound
from dispatch.matching.policy import MatchingPolicy, RoundDecision
from dispatch.matching.reasons import Reason, RoundTrace
from dispatch.model import DispatchParams, Ride, RideState, SupplySnapshot
from dispatch.ports import (
    Carrying,
    Leases,
    RideStore,
    RoundLog,
    RoundRecord,
    RoundRecords,
    RoundReport,
    Supply,
    TraceLog,
)
from dispatch.rules.window import MarketWatch, figures_of
from dispatch.service.outbox_reader import OutboxReader
from dispatch.service.pickup_watch import WatchService
from dispatch.service.rides import RideService
from dispatch.service.supply import supply_snapshot, unseen
from dispatch.service.traces import TraceWriter
from geo.roads.graph import RoadGraph

log = structlog.get_logger(__name__)


class MatchingService:
    """Runs rounds: reads open rides and free drivers, decides, takes leases, sends offers.

    Nothing is kept from one round to the next, so that a new process goes on where a dead one stopped.
    """

    def __init__(
        self,
        *,
        region_id: str,
        graph: RoadGraph,
        policy: MatchingPolicy,
        params: DispatchParams,
        store: RideStore,
        rides: RideService,
        supply: Supply,
        leases: Leases,
        round_log: RoundLog,
        now: Callable[[], float],
        trace_log: TraceLog | None = None,
        records: RoundRecords | None = None,
        outbox_reader: OutboxReader | None = None,
    ) -> None:
        self._region = region_id
        self._graph = graph
        self._policy = policy
        self._params = params
        self._store = store
        self._rides = rides
        self._supply = supply
        self._leases = leases
        self._round_log = round_log
        self._now = now
        self._records = records
        self._outbox_reader = outbox_reader
        self._market = MarketWatch(params)
        self._watch = WatchService(graph, params, rides)
        self._traces = None if trace_log is None else TraceWriter(trace_log)

    async def start(self) -> None:
        """Bring the fence back if Redis has lost it, and the policy to where it was."""
        await self._leases.restore(await self._store.newest_token(self._region))
        if self._outbox_reader is not None:
            await self._outbox_reader.start()

    async def finish(self) -> None:
        """Return when nothing is on its way any more."""
        if self._traces is not None:
            await self._traces.finish()

    @property
    def window_s(self) -> float:
        """City seconds until the next round."""
        return self._market.window_s

    async def run_round(self) -> RoundReport:
        """One round, from the snapshot to the offers sent."""
        began = time.perf_counter()
        open_rides = await self._store.open_rides(self._region)
        n_expired = await self._expire_due(open_rides)
        if await self._take_back() or n_expired:
            open_rides = await self._store.open_rides(self._region)
        if self._outbox_reader is not None:
            await self._outbox_reader.catch_up()
        engine = DispatchEngine(self._params, open_rides, self._policy)
        n_waiting = sum(ride.state is RideState.REQUESTED for ride in open_rides)
        supply: SupplySnapshot | None = None
        n_matches = n_offers = 0
        if n_waiting:
            positions, free, carrying = await asyncio.gather(
                self._supply.positions(), self._store.free_drivers(), self._carrying_drivers()
            )
            now_s, graph = self._now(), self._graph
            supply = await asyncio.to_thread(
                supply_snapshot, positions, free, carrying, graph, self._params, now_s, n_waiting=n_waiting
            )
            capped = replace(self._params, pickup_eta_s_max=self._market.pickup_eta_s_max)
            decision = await asyncio.to_thread(engine.decide_round, supply, supply.now_s, capped.pickup_eta_s_max)
            for fault in decision.faults:
                log.error("policy_fault", fault=fault)
            if self._records is not None and len(supply):
                await self._keep(_record(self._region, capped, engine.waiting(), supply, decision))
            self._market.observe(figures_of(n_waiting, supply, decision.matches))
            not_seen = unseen(positions, free, supply)
            trace = RoundTrace(engine.waiting(), supply, decision, not_seen, is_capped=capped != self._params)
            n_matches, n_offers = len(decision.matches), await self._send_offers(decision.matches, trace)
            if self._traces is not None:
                self._traces.write(trace)
        report = RoundReport(
            at_s=self._now(),
            n_waiting=n_waiting,
            n_free=0 if supply is None else len(supply),
            n_matches=n_matches,
            n_offers=n_offers,
            n_expired=n_expired,
            wall_ms=(time.perf_counter() - began) * 1e3,
        )
        await self._round_log.write(report)
        return report

    async def _keep(self, record: RoundRecord) -> None:
        """Record a round where it can be: riders do not wait for a disk that is full."""
        assert self._records is not None
        try:
            await self._records.write(record)
        except OSError as error:
            log.warning("round_not_recorded", error=str(error))

    async def _carrying_drivers(self) -> list[Carrying]:
        return await self._store.carrying_drivers(self._region) if self._params.chain_within_s else []

    async def _expire_due(self, open_rides: Sequence[Ride]) -> int:
        expected = DispatchEngine(self._params, open_rides).handle(cmd.ExpireDue(), self._now())
        due = sorted({event.ride_id for event in expected})
        return await _count(self._expire(ride_id) for ride_id in due)

    async def _take_back(self) -> int:
        """Rides whose driver will not come wait again from this round on; returns how many."""
        now_s = self._now()
        if not self._watch.is_due(now_s):
            return 0
        live_rides = await self._store.live_rides(self._region)
        if not live_rides:
            return 0
        return await self._watch.look(live_rides, await self._supply.positions(), now_s)

    async def _expire(self, ride_id: str) -> int:
        return len((await self._rides.expire(ride_id)).events)

    async def _send_offers(self, matches: Sequence[MatchFound], trace: RoundTrace) -> int:
        if not matches:
            return 0
        tokens = await self._take_leases([(match.driver_id, match.ride_id) for match in matches])
        leased = []
        for match, token in zip(matches, tokens, strict=True):
            if token is None:
                trace.note(match.ride_id, Reason.LEASE_HELD)
            else:
                leased.append((match, token))
        return await _count(self._send_offer(match, token, trace) for match, token in leased)

    async def _take_leases(self, pairs: Sequence[tuple[str, str]]) -> list[int | None]:
        return await self._leases.take(pairs, self._now(), self._params.offer_ttl_s)

    async def _send_offer(self, match: MatchFound, token: int, trace: RoundTrace) -> bool:
        command = cmd.SendOffer(match.ride_id, match.driver_id, token, match.pickup_eta_s)
        try:
            await self._rides.handle(command)
        except CommandRefused:  # cancelled, or taken, since the snapshot: the next round sees it
            trace.note(match.ride_id, Reason.OFFER_REFUSED)
            await self._leases.release(match.driver_id, match.ride_id, token)
            return False
        return True


def _record(
    region_id: str, params: DispatchParams, waiting: Sequence[Ride], supply: SupplySnapshot, decision: RoundDecision
) -> RoundRecord:
    known = tuple((ride.ride_id, ride.sequence) for ride in waiting)
    return RoundRecord(region_id, params, known, supply, tuple(decision.matches))


async def _count(steps: Iterable[Awaitable[int]]) -> int:
    """Take independent steps together and add up what they did; one that fails takes nothing from the others."""
    done = 0
    for result in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(result, BaseException):  # what was not done is still there for the next round
            log.error("step_failed", exc_info=result)
        else:
            done += result
    return done
