"""The matching rounds of one region."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from dispatch import commands as cmd
from dispatch.engine import DispatchEngine
from dispatch.errors import CommandRefused
from dispatch.matching.policy import FollowsTraffic, MatchingPolicy
from dispatch.matching.reasons import Reason
from dispatch.metrics import MatchingMetrics
from dispatch.model import DispatchParams, Ride
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
from dispatch.rounds import Round, Rounds
from dispatch.service.outbox_reader import OutboxReader
from dispatch.service.pickup_watch import DriverWatch
from dispatch.service.placing import RidePlaces
from dispatch.service.rides import RideService
from dispatch.service.supply import supply_snapshot, unseen
from dispatch.service.traces import TraceWriter
from geo.places import Places
from geo.roads.graph import RoadGraph

log = structlog.get_logger(__name__)


class MatchingService:
    """Runs rounds: reads open rides and free drivers, lets `Rounds` decide, takes leases, sends offers.

    What is kept from one round to the next may be lost, so that a new process goes on where a dead one stopped.
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
        roads: Callable[[], RoadGraph] | None = None,
        places: Places | None = None,
        metrics: MatchingMetrics | None = None,
    ) -> None:
        """``roads`` gives ``graph`` under the travel times that count now; without it those of ``graph`` count.

        ``places`` takes rides of other maps to ``graph``; without it all rides must be of the graph.
        """
        self._region = region_id
        self._own_graph = self._graph = graph
        self._roads = roads or (lambda: graph)
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
        self._metrics = metrics
        self._rounds = Rounds(params)
        # On the travel times of the city's folder: a driver comes nearer or not, whatever the traffic does meanwhile.
        self._places = RidePlaces(region_id, places or Places(graph, ""), rides, metrics)
        self._watch = DriverWatch(self._places.places, params)
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
        return self._rounds.window_s

    async def run_round(self) -> RoundReport:
        """One round, from the snapshot to the offers sent."""
        began = time.perf_counter()
        self._follow_traffic()
        open_rides, n_expired = await self._rides_to_match()
        engine = DispatchEngine(self._params, open_rides, self._policy)
        waiting = engine.waiting()
        n_free = n_matches = n_offers = 0
        if waiting:
            round_, unseen_drivers = await self._decide(engine, len(waiting))
            n_free, n_matches = len(round_.supply), len(round_.decision.matches)
            n_offers = await self._send_offers(round_)
            if self._traces is not None:
                self._traces.write(round_.trace(unseen_drivers))
        report = RoundReport(
            at_s=self._now(),
            n_waiting=len(waiting),
            n_free=n_free,
            n_matches=n_matches,
            n_offers=n_offers,
            n_expired=n_expired,
            wall_ms=(time.perf_counter() - began) * 1e3,
        )
        if self._metrics is not None:
            self._metrics.show_round(self._region, open_rides, report.at_s, report.wall_ms / 1e3)
        await self._round_log.write(report)
        return report

    async def _rides_to_match(self) -> tuple[list[Ride], int]:
        """The open rides once what is due has expired and lost drivers' rides wait again; how many rides expired."""
        open_rides = await self._store.open_rides(self._region)
        n_expired = await self._expire_due(open_rides)
        if await self._watch_pickups() or n_expired:
            open_rides = await self._store.open_rides(self._region)
        if self._outbox_reader is not None:
            await self._outbox_reader.catch_up()
        return await self._places.open_on_map(open_rides), n_expired

    async def _decide(self, engine: DispatchEngine, n_waiting: int) -> tuple[Round, dict[Reason, int]]:
        """The round on the newest positions, and how many drivers of the region it did not see, by the reason."""
        positions, free, carrying = await asyncio.gather(
            self._supply.positions(), self._store.free_drivers(), self._carrying_drivers()
        )
        now_s, graph = self._now(), self._graph
        supply = await asyncio.to_thread(
            supply_snapshot, positions, free, carrying, graph, self._params, now_s, n_waiting=n_waiting
        )
        round_ = await asyncio.to_thread(self._rounds.decide, engine, supply, now_s)
        for fault in round_.decision.faults:
            log.error("policy_fault", fault=fault)
            self._places.count("policy fault")
        if self._records is not None and len(supply):
            await self._keep(self._record(round_))
        return round_, unseen(positions, free, supply)

    def _follow_traffic(self) -> None:
        """Take over new travel times: here alone, so that a whole round is decided on the same ones."""
        graph = self._roads()
        if graph is not self._graph:
            self._graph = graph
            if isinstance(self._policy, FollowsTraffic):
                self._policy.follow_traffic(graph)

    def _record(self, round_: Round) -> RoundRecord:
        known = tuple((ride.ride_id, ride.sequence) for ride in round_.waiting)
        times_s = None if self._graph is self._own_graph else self._graph.travel_time_s
        matches = tuple(round_.decision.matches)
        map_id = self._places.places.map_id
        return RoundRecord(self._region, round_.params, known, round_.supply, matches, times_s, map_id)

    async def _keep(self, record: RoundRecord) -> None:
        """Record a round where it can be: riders do not wait for a disk that is full."""
        assert self._records is not None
        try:
            await self._records.write(record)
        except OSError as error:
            log.warning("round_not_recorded", error=str(error))

    async def _carrying_drivers(self) -> list[Carrying]:
        if not self._params.chain_within_s:
            return []
        return self._places.carrying_on_map(await self._store.carrying_drivers(self._region))

    async def _expire_due(self, open_rides: Sequence[Ride]) -> int:
        expected = DispatchEngine(self._params, open_rides).handle(cmd.ExpireDue(), self._now())
        due = sorted({event.ride_id for event in expected})
        return await _count(self._expire(ride_id) for ride_id in due)

    async def _watch_pickups(self) -> int:
        """As `_take_back`; a watch that fails costs no round."""
        try:
            return await self._take_back()
        except Exception:  # if a store is away, the round itself says so
            log.exception("pickup_watch_failed", region_id=self._region)
            return 0

    async def _take_back(self) -> int:
        """Rides whose driver will not come wait again from this round on; returns how many."""
        now_s = self._now()
        if not self._watch.is_due(now_s):
            return 0
        live_rides = await self._store.live_rides(self._region)
        if not live_rides:
            return 0
        taken = 0
        for command in self._watch.look(live_rides, await self._supply.positions(), now_s):
            try:
                await self._rides.handle(command)
            except CommandRefused:  # arrived, cancelled or picked up since the rides were read
                continue
            except Exception:  # the others are taken back all the same
                log.exception("ride_not_taken_back", ride_id=command.ride_id, driver_id=command.driver_id)
                self._places.count("command")
                continue
            taken += 1
            log.warning("ride_taken_back", ride_id=command.ride_id, driver_id=command.driver_id, reason=command.reason)
        return taken

    async def _expire(self, ride_id: str) -> int:
        return len((await self._rides.expire(ride_id)).events)

    async def _send_offers(self, round_: Round) -> int:
        if not round_.pairs:
            return 0
        tokens = await self._leases.take(round_.pairs, self._now(), self._params.offer_ttl_s)
        return await _count(self._send_offer(offer, round_) for offer in round_.offers(tokens))

    async def _send_offer(self, offer: cmd.SendOffer, round_: Round) -> bool:
        try:
            await self._rides.handle(offer)
        except CommandRefused:  # cancelled, or taken, since the snapshot: the next round sees it
            round_.refuse(offer)
            await self._leases.release(offer.driver_id, offer.ride_id, offer.token)
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
