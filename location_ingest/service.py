"""The two shells round the filter: the gateway in the process of the edge, the service in the worker."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import numpy as np
import structlog

from geo.arrays import FloatArray
from geo.cells import cells_to_strings, latlng_to_cells
from geo.positions import pack
from location_ingest.commands import RecordPings
from location_ingest.engine import IngestEngine
from location_ingest.errors import PingLogUnavailable, PingsRefused, UndecodableMessage
from location_ingest.events import Event, PositionAccepted
from location_ingest.metrics import GatewayMetrics, IngestMetrics
from location_ingest.model import (
    NOT_NEWER,
    CellPosition,
    DeadLetter,
    DriverPing,
    GatewayParams,
    IngestParams,
    PingGroup,
    RawMessage,
    Reason,
    Refusal,
    StoreParams,
)
from location_ingest.ports import Cells, DeadLetters, PingLog, PingReader
from location_ingest.rules import order_reason, place_reason, time_reason, to_ms

log = structlog.get_logger(__name__)

#: The region of each position, None for one outside every region: arrays (n,) in degrees to a list of n.
RegionOf = Callable[[FloatArray, FloatArray], Sequence[str | None]]


@dataclass(slots=True)
class _OpenGroup:
    """Pings of one region that wait for company; `stored` tells all who sent them whether the broker has them."""

    region: str
    received_s: float
    stored: asyncio.Future[bool]
    timer: asyncio.TimerHandle | None = None
    pings: list[DriverPing] = field(default_factory=list)


class PingGateway:
    """Takes pings from phones: refuses what the sender got wrong, groups the rest, waits for the broker.

    What is no fault of the sender, a coarse fix or a jump, is left to the worker, which drops it alone: a phone could
    do nothing but send the same batch again. One event loop owns a gateway.
    """

    def __init__(
        self,
        ping_log: PingLog,
        cells: Cells,
        region_of: RegionOf,
        *,
        metrics: GatewayMetrics,
        ingest_params: IngestParams | None = None,
        params: GatewayParams | None = None,
    ) -> None:
        self._log = ping_log
        self._cells = cells
        self._region_of = region_of
        self._metrics = metrics
        self._ingest = ingest_params or IngestParams()
        self._params = params or GatewayParams()
        # In the order of the last change, the longest silent first.
        self._last_t_s: dict[str, float] = {}
        self._wanted: set[tuple[str, str]] = set()
        self._asking = asyncio.Lock()
        self._open: dict[str, _OpenGroup] = {}
        self._appends: set[asyncio.Task[None]] = set()
        self._held = 0
        self._closed = False

    @property
    def pings_held(self) -> int:
        """Pings that wait for the broker; never more than `held_pings_max`."""
        return self._held

    async def check(self, pings: Sequence[DriverPing], now_s: float) -> list[Refusal]:
        """Return the index and reason of every ping the sender must not send; changes nothing."""
        refusals, _ = await self._judge(pings, now_s)
        return refusals

    async def submit(self, pings: Sequence[DriverPing], now_s: float) -> None:
        """Return when the broker has all pings of the batch.

        Raises PingsRefused if one of them is bad: then none was taken. Raises PingLogUnavailable if the broker did not
        acknowledge in time or too much is waiting for it: send the batch again later, what did arrive is harmless.
        """
        refusals, regions = await self._judge(pings, now_s)
        if refusals:
            for refusal in refusals:
                self._metrics.pings_refused.labels(refusal.reason).inc()
            raise PingsRefused(refusals)
        if self._closed or self._held + len(pings) > self._params.held_pings_max:
            self._metrics.pings_unavailable.inc(len(pings))
            raise self._unavailable("the edge is closing" if self._closed else "too many pings wait for the broker")
        groups = {id(group): group for group in map(self._add, pings, regions, [now_s] * len(pings))}
        if not await self._all_stored([group.stored for group in groups.values()]):
            self._metrics.pings_unavailable.inc(len(pings))
            raise self._unavailable("the broker did not acknowledge the pings")
        self._metrics.pings_submitted.inc(len(pings))
        for ping in pings:
            self._remember(ping.driver_id, ping.t_s)

    async def close(self) -> None:
        """Send what waits and take nothing more; returns within `submit_s_max`."""
        self._closed = True
        for group in list(self._open.values()):
            self._seal(group)
        if self._appends:
            _, late = await asyncio.wait(self._appends, timeout=self._params.submit_s_max)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _judge(self, pings: Sequence[DriverPing], now_s: float) -> tuple[list[Refusal], list[str]]:
        """Return the refusals, and the region of each ping: complete if there is no refusal."""
        reasons = [place_reason(ping) or time_reason(ping.t_s, now_s, self._ingest) for ping in pings]
        sound = [index for index, reason in enumerate(reasons) if reason is None]
        regions: dict[int, str] = {}
        if sound:
            lat_deg = np.array([pings[index].lat_deg for index in sound])
            lng_deg = np.array([pings[index].lng_deg for index in sound])
            for index, region in zip(sound, self._region_of(lat_deg, lng_deg), strict=True):
                if region is None:
                    reasons[index] = Reason.OFF_REGION
                else:
                    regions[index] = region
        await self._learn_last_times([(regions[index], pings[index].driver_id) for index in sorted(regions)], now_s)
        last_t_s = {ping.driver_id: self._last_t_s.get(ping.driver_id) for ping in pings}
        for index in sorted(regions):
            ping = pings[index]
            reasons[index] = order_reason(ping.t_s, last_t_s[ping.driver_id])
            if reasons[index] is None:
                last_t_s[ping.driver_id] = ping.t_s
        refusals = [Refusal(index, reason) for index, reason in enumerate(reasons) if reason is not None]
        return refusals, [regions[index] for index in sorted(regions)]

    async def _learn_last_times(self, placed: Sequence[tuple[str, str]], now_s: float) -> None:
        """Have the store asked for the drivers seen here for the first time.

        One question at a time, for all who came meanwhile: after a start every driver of the city is new at once.
        """
        unknown = [(region, driver_id) for region, driver_id in placed if driver_id not in self._last_t_s]
        if not unknown:
            return
        self._wanted.update(unknown)
        async with self._asking:
            if self._wanted.isdisjoint(unknown):
                return
            wanted, self._wanted = sorted(self._wanted), set()
            for region, of_region in groupby(wanted, key=itemgetter(0)):
                await self._ask_last_times(region, [driver_id for _, driver_id in of_region], now_s)

    async def _ask_last_times(self, region: str, driver_ids: Sequence[str], now_s: float) -> None:
        """Remember what the store answers; without an answer the worker's filter must do."""
        try:
            async with asyncio.timeout(self._params.last_times_s_max):
                stored = await self._cells.last_times_s(region, driver_ids)
        # Whatever the store raises, pings must go on.
        except Exception as error:
            self._metrics.last_times_failed.inc()
            log.warning("last_times_failed", region=region, drivers=len(driver_ids), error=str(error) or repr(error))
            return
        for driver_id, t_s in stored.items():
            # A time to come was written before the clock was set back: believing it would lock the driver out.
            if t_s <= now_s + self._ingest.future_skew_s_max:
                self._remember(driver_id, t_s)

    def _remember(self, driver_id: str, t_s: float) -> None:
        newest_s = max(t_s, self._last_t_s.pop(driver_id, t_s))
        self._last_t_s[driver_id] = newest_s
        if len(self._last_t_s) > self._params.drivers_max:
            del self._last_t_s[next(iter(self._last_t_s))]

    def _add(self, ping: DriverPing, region: str, now_s: float) -> _OpenGroup:
        group = self._open.get(region)
        if group is None:
            loop = asyncio.get_running_loop()
            group = self._open[region] = _OpenGroup(region, now_s, loop.create_future())
            group.timer = loop.call_later(self._params.group_wait_s, self._seal, group)
        group.pings.append(ping)
        group.received_s = now_s
        self._hold(1)
        if len(group.pings) >= self._params.group_pings_max:
            self._seal(group)
        return group

    def _seal(self, group: _OpenGroup) -> None:
        if group.timer is not None:
            group.timer.cancel()
        del self._open[group.region]
        task = asyncio.create_task(self._append(group))
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)

    async def _append(self, group: _OpenGroup) -> None:
        stored = False
        try:
            await self._log.append(PingGroup(group.region, group.received_s, tuple(group.pings)))
            stored = True
        # Every failure means the same to the phones: not stored.
        except Exception as error:
            log.warning(
                "pings_not_stored", region=group.region, pings=len(group.pings), error=str(error) or repr(error)
            )
        finally:
            self._hold(-len(group.pings))
            group.stored.set_result(stored)

    async def _all_stored(self, stored: Sequence[asyncio.Future[bool]]) -> bool:
        if not stored:
            return True
        done, late = await asyncio.wait(stored, timeout=self._params.submit_s_max)
        return not late and all(future.result() for future in done)

    def _hold(self, pings: int) -> None:
        self._held += pings
        self._metrics.pings_held.set(self._held)

    def _unavailable(self, why: str) -> PingLogUnavailable:
        return PingLogUnavailable(f"{why}; send the batch again", self._params.retry_after_s)


class IngestService:
    """Takes groups of pings from the log and keeps the cells. One task at a time calls `process`."""

    def __init__(
        self,
        engine: IngestEngine,
        reader: PingReader,
        cells: Cells,
        dead_letters: DeadLetters,
        *,
        resolution_of_region: Mapping[str, int],
        metrics: IngestMetrics,
        ingest_params: IngestParams | None = None,
        params: StoreParams | None = None,
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._cells = cells
        self._dead_letters = dead_letters
        self._resolution = dict(resolution_of_region)
        self._metrics = metrics
        self._ingest = ingest_params or IngestParams()
        self._params = params or StoreParams()

    def prepare(self) -> None:
        """Compile or load what the first batch needs: this holds the interpreter for up to seconds."""
        to_cell_positions([DriverPing("nobody", 0.0, 0.0, 0.0)], 0)

    async def process(self, messages: Sequence[RawMessage], now_s: float) -> None:
        """Store the believed positions of the messages and bury what nobody can use.

        Raises whatever the store raises; then the engine knows nothing of the messages, and the same call may be made
        again: what was stored by then is not newer any more.
        """
        groups, letters = self._decode(messages)
        before = self._engine.tracks_of((group.region, ping.driver_id) for group in groups for ping in group.pings)
        try:
            for region, events in self._decide(groups, now_s).items():
                for start in range(0, len(events), self._params.batch_positions_max):
                    await self._store(region, events[start : start + self._params.batch_positions_max])
            for letter in letters:
                await self._dead_letters.append(letter)
                self._metrics.dead_letters.inc()
        except BaseException:
            self._engine.restore(before)
            raise

    async def sweep(self, now_s: float) -> int:
        """Take out every driver not seen for `stale_after_s`, and those seen in a time to come; returns how many."""
        swept = 0
        for region in sorted(self._resolution):
            swept += await self._cells.sweep(
                region,
                before_s=now_s - self._params.stale_after_s,
                after_s=now_s + self._ingest.future_skew_s_max,
            )
        self._metrics.drivers_swept.inc(swept)
        return swept

    def _decode(self, messages: Sequence[RawMessage]) -> tuple[list[PingGroup], list[DeadLetter]]:
        groups: list[PingGroup] = []
        letters: list[DeadLetter] = []
        for message in messages:
            try:
                group = self._reader.decode(message)
            except UndecodableMessage as error:
                letters.append(DeadLetter(str(error), message))
                continue
            if group.region in self._resolution:
                groups.append(group)
            else:
                letters.append(DeadLetter(f"unknown region {group.region!r}", message))
        return groups, letters

    def _decide(self, groups: Sequence[PingGroup], now_s: float) -> dict[str, list[Event]]:
        events: dict[str, list[Event]] = {}
        for group in groups:
            command = RecordPings(group.region, group.received_s, group.pings)
            events.setdefault(group.region, []).extend(self._engine.handle(command, now_s))
        pings = sum(map(len, events.values()))
        self._metrics.pings_in.inc(pings)
        self._metrics.batch_pings.observe(pings)
        return events

    async def _store(self, region: str, events: Sequence[Event]) -> None:
        accepted = [event.ping for event in events if isinstance(event, PositionAccepted)]
        reasons = Counter(event.reason for event in events if not isinstance(event, PositionAccepted))
        # What is not newer is a replay here, for the edge refuses it: counting it would make a replay change something.
        rejected = {reason: count for reason, count in reasons.items() if reason not in NOT_NEWER}
        if accepted or rejected:
            newer = await self._cells.put(region, to_cell_positions(accepted, self._resolution[region]), rejected)
            self._metrics.pings_accepted.inc(newer)
        for reason, count in reasons.items():
            self._metrics.pings_rejected.labels(reason).inc(count)


def to_cell_positions(pings: Sequence[DriverPing], resolution: int) -> list[CellPosition]:
    """Return the pings as stored: packed, with the cell of the resolution; in the same order."""
    lat_deg = np.array([ping.lat_deg for ping in pings])
    lng_deg = np.array([ping.lng_deg for ping in pings])
    t_s = np.array([ping.t_s for ping in pings])
    speed_mps = np.array([np.nan if ping.speed_mps is None else ping.speed_mps for ping in pings])
    heading_deg = np.array([np.nan if ping.heading_deg is None else ping.heading_deg for ping in pings])
    packed = pack(t_s, lat_deg, lng_deg, speed_mps, heading_deg)
    names = cells_to_strings(latlng_to_cells(lat_deg, lng_deg, resolution))
    return [
        CellPosition(ping.driver_id, to_ms(ping.t_s), name, record.tobytes())
        for ping, name, record in zip(pings, names, packed, strict=True)
    ]
