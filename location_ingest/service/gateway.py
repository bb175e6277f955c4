"""The ping gateway in the API process: validates the pings of phones and writes them to the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import numpy as np
import structlog

from geo.arrays import BoolArray
from location_ingest.columns import PingColumns, row_of
from location_ingest.edge_batches import JudgedBatches, PhoneBatch, RegionOf, judge_batches
from location_ingest.errors import PingLogUnavailable, PingsRefused
from location_ingest.kernels import NEVER_MS, limits_of, load_edge_kernels
from location_ingest.metrics import GatewayMetrics
from location_ingest.model import DriverPing, GatewayParams, IngestParams, Refusal, Submitted
from location_ingest.ports import Cells, PingLog

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Batch(PhoneBatch):
    """A batch and the future its phone waits for: its result says what was taken, or it is an error."""

    answer: asyncio.Future[Submitted]
    #: Whether the store has been asked for the last times of its drivers.
    is_known: bool = False
    groups_left: int = 0
    #: The bad pings, which are not sent.
    refusals: tuple[Refusal, ...] = ()


class PingGateway:
    """Accepts pings from phones: refuses bad ones singly, groups the rest, and waits for the broker.

    Coarse fixes and jumps show only beside what came before: the worker finds them. Batches that arrive within
    `group_wait_s` are judged and sent together. One event loop owns a gateway.
    """

    def __init__(
        self,
        ping_log: PingLog,
        cells: Cells,
        regions: Sequence[str],
        region_of: RegionOf,
        *,
        metrics: GatewayMetrics,
        ingest_params: IngestParams | None = None,
        params: GatewayParams | None = None,
    ) -> None:
        self._log = ping_log
        self._cells = cells
        self._regions = regions
        self._region_of = region_of
        self._metrics = metrics
        self._ingest = ingest_params or IngestParams()
        self._limits = limits_of(self._ingest)
        # Compile or load the kernels now; later it would block the event loop.
        load_edge_kernels()
        self._params = params or GatewayParams()
        # In the order of the last change, the longest silent first.
        self._last_t_ms: dict[str, int] = {}
        self._waiting: list[_Batch] = []
        self._pings_waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unknown_batches: list[_Batch] = []
        self._asking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._closed = False
        metrics.pings_held.set_function(lambda: self._held)

    @property
    def pings_held(self) -> int:
        """Pings that wait for the broker; never more than `held_pings_max`."""
        return self._held

    async def submit(self, pings: Sequence[DriverPing], now_s: float) -> Submitted:
        """Return when the broker has all good pings of the batch: how many, and why each of the others was refused.

        Raises PingsRefused if none is good. Raises PingLogUnavailable if the broker did not acknowledge in time or too
        much is waiting for it: send the batch again later, what did arrive is harmless.
        """
        drivers = list(dict.fromkeys(ping.driver_id for ping in pings))
        places = {driver_id: place for place, driver_id in enumerate(drivers)}
        driver_of = [places[ping.driver_id] for ping in pings]
        return await self._enqueue(drivers, list(chain.from_iterable(map(row_of, pings))), now_s, driver_of)

    def submit_numbers(
        self, driver_id: str, numbers: Sequence[float | None], now_s: float
    ) -> asyncio.Future[Submitted]:
        """Submit pings of one driver, 1 to 64 characters, six numbers each as in `PingRow`; the future is as `submit`.

        Raises PingLogUnavailable at once if too much is waiting already.
        """
        return self._enqueue((driver_id,), numbers, now_s, None)

    def follow(self, region_of: RegionOf) -> None:
        """Find the regions of pings by this from now on."""
        self._region_of = region_of

    async def close(self) -> None:
        """Send what waits and take nothing more; returns within `submit_s_max`."""
        self._closed = True
        self._flush()
        deadline_s = asyncio.get_running_loop().time() + self._params.submit_s_max
        # A question to the store ends in appends.
        while self._tasks and (left_s := deadline_s - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left_s)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._fail_unanswered(self._unknown_batches)

    def _enqueue(
        self, drivers: Sequence[str], numbers: Sequence[float | None], now_s: float, driver_of: Sequence[int] | None
    ) -> asyncio.Future[Submitted]:
        """Queue a batch for the next group."""
        loop = asyncio.get_running_loop()
        batch = _Batch(drivers, numbers, now_s, driver_of, loop.create_future())
        pings = len(batch)
        if not pings:
            batch.answer.set_result(Submitted(0))
            return batch.answer
        if self._closed or self._held + pings > self._params.held_pings_max:
            self._metrics.pings_unavailable.inc(pings)
            raise self._unavailable("the edge is closing" if self._closed else "too many pings wait for the broker")
        self._waiting.append(batch)
        self._pings_waiting += pings
        self._held += pings
        if self._pings_waiting >= self._params.flush_pings_max:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self._params.group_wait_s, self._flush)
        return batch.answer

    def _flush(self) -> None:
        """Judge and send all that wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batches, self._waiting, self._pings_waiting = self._waiting, [], 0
        if batches:
            self._take(batches)

    def _fail_unanswered(self, batches: Iterable[_Batch]) -> None:
        """Answer all unanswered batches with PingLogUnavailable."""
        for batch in batches:
            if not batch.answer.done():
                self._metrics.pings_unavailable.inc(len(batch))
                batch.answer.set_exception(self._unavailable("the broker did not acknowledge the pings"))

    def _take(self, batches: Sequence[_Batch]) -> None:
        judged = judge_batches(batches, self._limits, self._region_of)
        is_sent = self._defer_unknown_drivers(judged)
        judged.judge_times(self._last_t_ms)
        for number, refusals in judged.refused():
            if is_sent[number]:
                is_sent[number] = len(refusals) < len(batches[number])
                self._refuse(batches[number], refusals)
        groups = list(judged.groups(is_sent, self._regions, self._params.group_pings_max))
        for _, senders in groups:
            for number in senders:
                batches[number].groups_left += 1
        for group, senders in groups:
            self._start(self._append(group, judged, senders))

    def _defer_unknown_drivers(self, judged: JudgedBatches[_Batch]) -> BoolArray:
        """Have the store asked for who is new here; returns whether each batch (b,) need not wait for that."""
        is_ready = np.ones(len(judged.batches), bool)
        slots = judged.unknown_driver_slots(self._last_t_ms)
        for number in sorted({judged.batch_of_slot(slot) for slot in slots}):
            is_ready[number] = judged.batches[number].is_known
        unknown_batches = [judged.batches[number] for number in np.flatnonzero(~is_ready).tolist()]
        if unknown_batches:
            self._unknown_batches += unknown_batches
            asyncio.get_running_loop().call_later(self._params.submit_s_max, self._fail_unanswered, unknown_batches)
            if self._asking is None or self._asking.done():
                self._asking = self._start(self._request_last_times())
        return is_ready

    def _refuse(self, batch: _Batch, refusals: Sequence[Refusal]) -> None:
        """Keep the bad pings of a batch out; without a good one the phone is answered at once."""
        batch.refusals = tuple(refusals)
        self._held -= len(refusals)
        for reason, count in Counter(refusal.reason for refusal in refusals).items():
            self._metrics.pings_refused.labels(reason).inc(count)
        if len(refusals) == len(batch) and not batch.answer.done():
            batch.answer.set_exception(PingsRefused(refusals))

    async def _append(self, group: PingColumns, judged: JudgedBatches[_Batch], senders: Sequence[int]) -> None:
        batches = [judged.batches[number] for number in senders]
        # The phones get their answer in time, but the group counts as held until its outcome is known.
        timer = asyncio.get_running_loop().call_later(self._params.submit_s_max, self._fail_unanswered, batches)
        stored = False
        try:
            await self._log.append(group)
            stored = True
        # Every failure means the same to the phones: not stored.
        except Exception as error:
            log.warning(
                "pings_not_stored",
                region_id=group.region_id,
                pings=len(group.driver_ids),
                error=str(error) or repr(error),
            )
        finally:
            timer.cancel()
            self._held -= len(group.driver_ids)
            for batch in batches:
                batch.groups_left -= 1
            if stored:
                self._acknowledge(judged, senders)
            else:
                self._fail_unanswered(batches)

    def _acknowledge(self, judged: JudgedBatches[_Batch], senders: Sequence[int]) -> None:
        """Answer the batches whose groups are all acknowledged, and record the times of their drivers."""
        submitted = 0
        for number in senders:
            batch = judged.batches[number]
            if batch.groups_left == 0 and not batch.answer.done():
                accepted = len(batch) - len(batch.refusals)
                batch.answer.set_result(Submitted(accepted, batch.refusals))
                submitted += accepted
                for slot in range(judged.first_slot[number], judged.first_slot[number + 1]):
                    if judged.newest_ms[slot] != NEVER_MS:
                        self._remember(judged.drivers[slot], int(judged.newest_ms[slot]))
        self._metrics.pings_submitted.inc(submitted)

    def _remember(self, driver_id: str, t_ms: int) -> None:
        last_t_ms = self._last_t_ms
        last_t_ms[driver_id] = max(t_ms, last_t_ms.pop(driver_id, t_ms))
        if len(last_t_ms) > self._params.drivers_max:
            del last_t_ms[next(iter(last_t_ms))]

    async def _request_last_times(self) -> None:
        """Have the store asked for the drivers seen here for the first time, then go on with their batches.

        One question at a time, for all who came meanwhile: after a start every driver of the city is new at once.
        """
        while self._unknown_batches:
            batches, self._unknown_batches = self._unknown_batches, []
            judged = judge_batches(batches, self._limits, self._region_of)
            wanted = judged.regions_of(judged.unknown_driver_slots(self._last_t_ms))
            now_s = max(batch.now_s for batch in batches)
            for number, of_region in groupby(wanted, key=itemgetter(0)):
                await self._load_last_times(self._regions[number], [driver_id for _, driver_id in of_region], now_s)
            for batch in batches:
                batch.is_known = True
            self._take(batches)

    async def _load_last_times(self, region_id: str, driver_ids: Sequence[str], now_s: float) -> None:
        """Remember what the store answers; without an answer the worker's filter must do."""
        try:
            async with asyncio.timeout(self._params.last_times_s_max):
                stored = await self._cells.last_times_s(region_id, driver_ids)
        # Any error of the store: pings are accepted all the same.
        except Exception as error:
            self._metrics.last_times_failed.inc()
            log.warning(
                "last_times_failed", region_id=region_id, drivers=len(driver_ids), error=str(error) or repr(error)
            )
            return
        for driver_id, t_s in stored.items():
            # A time to come was written before the clock was set back: believing it would lock the driver out.
            if t_s <= now_s + self._ingest.future_skew_s_max:
                self._remember(driver_id, round(t_s * 1e3))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _unavailable(self, why: str) -> PingLogUnavailable:
        return PingLogUnavailable(f"{why}; send the batch again", self._params.retry_after_s)
