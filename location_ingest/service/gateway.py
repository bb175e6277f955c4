"""The edge's shell: from phones to the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import numpy as np
import structlog

from geo.arrays import FloatArray, IntArray
from location_ingest.columns import PingColumns, PingRow, row_of, rows_to_values
from location_ingest.errors import PingLogUnavailable, PingsRefused
from location_ingest.kernels import REASONS, judge_numbers, limits_of
from location_ingest.metrics import GatewayMetrics
from location_ingest.model import DriverPing, GatewayParams, IngestParams, Reason, Refusal
from location_ingest.ports import Cells, PingLog

log = structlog.get_logger(__name__)

#: The region of each position, None for one outside every region: arrays (n,) in degrees to a list of n.
RegionOf = Callable[[FloatArray, FloatArray], Sequence[str | None]]


@dataclass(slots=True, eq=False)
class _Batch:
    """What one phone sent at once. Its `answer` is whether the broker has it, or PingsRefused."""

    driver_ids: Sequence[str]
    rows: Sequence[PingRow]
    now_s: float
    answer: asyncio.Future[bool]
    #: Whether the store has been asked for the last times of its drivers.
    is_known: bool = False
    #: Only to be judged: answered True instead of being sent.
    is_check: bool = False
    groups_left: int = 0
    refusals: list[Refusal] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Batches side by side: of each ping its batch, its driver and its time, and a reason or a region."""

    batches: Sequence[_Batch]
    batch_of: IntArray
    driver_ids: list[str]
    values: FloatArray
    t_ms: list[int]
    reasons: list[Reason | None]
    regions: list[str | None]


class PingGateway:
    """Takes pings from phones: refuses what the sender got wrong, groups the rest, waits for the broker.

    What is no fault of the sender, a coarse fix or a jump, is left to the worker, which drops it alone: a phone could
    do nothing but send the same batch again. Whoever comes within `group_wait_s` is judged and sent together. One event
    loop owns a gateway.
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
        self._limits = limits_of(self._ingest)
        # Compiled or loaded now: the first phones would wait for it, and so would everybody else on the loop.
        judge_numbers(rows_to_values([]), np.zeros(0), self._limits)
        self._params = params or GatewayParams()
        # In the order of the last change, the longest silent first.
        self._last_t_ms: dict[str, int] = {}
        self._waiting: list[_Batch] = []
        self._pings_waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._strangers: list[_Batch] = []
        self._asking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._closed = False
        metrics.pings_held.set_function(lambda: self._held)

    @property
    def pings_held(self) -> int:
        """Pings that wait for the broker; never more than `held_pings_max`."""
        return self._held

    async def check(self, pings: Sequence[DriverPing], now_s: float) -> list[Refusal]:
        """Return the index and reason of every ping the sender must not send; changes nothing."""
        if not pings:
            return []
        batch = self._enter([ping.driver_id for ping in pings], list(map(row_of, pings)), now_s, is_check=True)
        try:
            await batch.answer
        except PingsRefused as refused:
            return [Refusal(at, Reason(reason)) for at, reason in refused.refusals]
        return []

    async def submit(self, pings: Sequence[DriverPing], now_s: float) -> None:
        """Return when the broker has all pings of the batch.

        Raises PingsRefused if one of them is bad: then none was taken. Raises PingLogUnavailable if the broker did not
        acknowledge in time or too much is waiting for it: send the batch again later, what did arrive is harmless.
        """
        await self._submit([ping.driver_id for ping in pings], list(map(row_of, pings)), now_s)

    async def submit_rows(self, driver_id: str, rows: Sequence[PingRow], now_s: float) -> None:
        """Submit the pings of one driver, 1 to 64 characters, as rows of numbers; see `submit`."""
        await self._submit([driver_id] * len(rows), rows, now_s)

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
        self._give_up(self._strangers)

    async def _submit(self, driver_ids: Sequence[str], rows: Sequence[PingRow], now_s: float) -> None:
        if not rows:
            return
        if self._closed or self._held + len(rows) > self._params.held_pings_max:
            self._metrics.pings_unavailable.inc(len(rows))
            raise self._unavailable("the edge is closing" if self._closed else "too many pings wait for the broker")
        if not await self._enter(driver_ids, rows, now_s).answer:
            self._metrics.pings_unavailable.inc(len(rows))
            raise self._unavailable("the broker did not acknowledge the pings")

    def _enter(
        self, driver_ids: Sequence[str], rows: Sequence[PingRow], now_s: float, *, is_check: bool = False
    ) -> _Batch:
        """Have a batch wait for company."""
        loop = asyncio.get_running_loop()
        batch = _Batch(driver_ids, rows, now_s, loop.create_future(), is_check=is_check)
        self._waiting.append(batch)
        self._pings_waiting += len(rows)
        self._held += len(rows)
        if self._pings_waiting >= self._params.group_pings_max:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self._params.group_wait_s, self._flush)
        return batch

    def _flush(self) -> None:
        """Judge and send all that wait; whoever has no answer in time is told to come back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batches, self._waiting, self._pings_waiting = self._waiting, [], 0
        if batches:
            asyncio.get_running_loop().call_later(self._params.submit_s_max, self._give_up, batches)
            self._take(batches)

    @staticmethod
    def _give_up(batches: Iterable[_Batch]) -> None:
        for batch in batches:
            if not batch.answer.done():
                batch.answer.set_result(False)

    def _take(self, batches: Sequence[_Batch]) -> None:
        judged = self._judge(batches)
        strangers = self._find_strangers(judged)
        if strangers:
            self._strangers += strangers
            if self._asking is None or self._asking.done():
                self._asking = self._start(self._ask_for_strangers())
        self._judge_order(judged)
        sent = np.ones(len(batches), bool)
        for number, batch in enumerate(batches):
            if not batch.is_known:
                sent[number] = False
            elif batch.refusals or batch.is_check:
                sent[number] = False
                self._answer_now(batch)
        self._send(judged, np.flatnonzero(sent[judged.batch_of]))

    def _judge(self, batches: Sequence[_Batch]) -> _Judged:
        """Judge the pings by their numbers, and find their regions."""
        values = rows_to_values(list(chain.from_iterable(batch.rows for batch in batches)))
        sizes = [len(batch.rows) for batch in batches]
        received_s = np.repeat([batch.now_s for batch in batches], sizes)
        verdict = judge_numbers(values, received_s, self._limits)
        reasons: list[Reason | None] = [REASONS[number - 1] if number else None for number in verdict.tolist()]
        regions: list[str | None] = [None] * len(values)
        sound = np.flatnonzero(verdict == 0)
        found = self._region_of(values[sound, 1].copy(), values[sound, 2].copy()) if len(sound) else []
        for at, region in zip(sound.tolist(), found, strict=True):
            regions[at] = region
            if region is None:
                reasons[at] = Reason.OFF_REGION
        # A time that is refused already may be any number.
        t_ms = np.rint(np.where(verdict == 0, values[:, 0], 0.0) * 1e3).astype(np.int64).tolist()
        driver_ids = list(chain.from_iterable(batch.driver_ids for batch in batches))
        return _Judged(batches, np.repeat(np.arange(len(batches)), sizes), driver_ids, values, t_ms, reasons, regions)

    def _find_strangers(self, judged: _Judged) -> list[_Batch]:
        """Return the batches whose drivers are to be asked for; all others count as known from now on."""
        strange: set[int] = set()
        if any(not batch.is_known for batch in judged.batches):
            last_t_ms = self._last_t_ms
            placed = zip(judged.batch_of.tolist(), judged.driver_ids, judged.regions, strict=True)
            strange = {number for number, driver_id, region in placed if region and driver_id not in last_t_ms}
        strangers = []
        for number, batch in enumerate(judged.batches):
            if number in strange and not batch.is_known:
                strangers.append(batch)
            else:
                batch.is_known = True
        return strangers

    def _judge_order(self, judged: _Judged) -> None:
        """Judge the times of each known batch by what its drivers had acknowledged before; note all refusals."""
        at = 0
        for batch in judged.batches:
            start, at = at, at + len(batch.rows)
            if not batch.is_known:
                continue
            in_batch: dict[str, int] = {}
            for place in range(start, at):
                reason = judged.reasons[place]
                if reason is None:
                    driver_id, t_ms = judged.driver_ids[place], judged.t_ms[place]
                    last_ms = in_batch.get(driver_id) or self._last_t_ms.get(driver_id)
                    if last_ms is None or t_ms > last_ms:
                        in_batch[driver_id] = t_ms
                        continue
                    reason = Reason.DUPLICATE_TIME if t_ms == last_ms else Reason.OUT_OF_ORDER
                batch.refusals = [*(batch.refusals or ()), Refusal(place - start, reason)]

    def _answer_now(self, batch: _Batch) -> None:
        self._held -= len(batch.rows)
        if batch.refusals and not batch.is_check:
            for reason, count in Counter(refusal.reason for refusal in batch.refusals).items():
                self._metrics.pings_refused.labels(reason).inc(count)
        if batch.answer.done():
            return
        if batch.refusals:
            batch.answer.set_exception(PingsRefused(batch.refusals))
        else:
            batch.answer.set_result(True)

    def _send(self, judged: _Judged, places: IntArray) -> None:
        """Send the pings at these places: a group for each region, several if there are many."""
        of_region: dict[str, list[int]] = {}
        for place in places.tolist():
            region = judged.regions[place]
            if region is not None:
                of_region.setdefault(region, []).append(place)
        groups_max = self._params.group_pings_max
        for region, own in sorted(of_region.items()):
            for start in range(0, len(own), groups_max):
                part = own[start : start + groups_max]
                senders = [judged.batches[number] for number in np.unique(judged.batch_of[part]).tolist()]
                for batch in senders:
                    batch.groups_left += 1
                received_s = max(batch.now_s for batch in senders)
                driver_ids = [judged.driver_ids[place] for place in part]
                self._start(self._append(PingColumns(region, received_s, driver_ids, judged.values[part]), senders))

    async def _append(self, group: PingColumns, senders: Sequence[_Batch]) -> None:
        stored, submitted = False, 0
        try:
            await self._log.append(group)
            stored = True
        # Every failure means the same to the phones: not stored.
        except Exception as error:
            log.warning(
                "pings_not_stored", region=group.region, pings=len(group.driver_ids), error=str(error) or repr(error)
            )
        finally:
            self._held -= len(group.driver_ids)
            for batch in senders:
                batch.groups_left -= 1
                if not stored:
                    self._give_up([batch])
                elif batch.groups_left == 0 and not batch.answer.done():
                    batch.answer.set_result(True)
                    submitted += len(batch.rows)
                    for driver_id, row in zip(batch.driver_ids, batch.rows, strict=True):
                        self._remember(driver_id, round(row[0] * 1e3))
            self._metrics.pings_submitted.inc(submitted)

    def _remember(self, driver_id: str, t_ms: int) -> None:
        last_t_ms = self._last_t_ms
        last_t_ms[driver_id] = max(t_ms, last_t_ms.pop(driver_id, t_ms))
        if len(last_t_ms) > self._params.drivers_max:
            del last_t_ms[next(iter(last_t_ms))]

    async def _ask_for_strangers(self) -> None:
        """Have the store asked for the drivers seen here for the first time, then go on with their batches.

        One question at a time, for all who came meanwhile: after a start every driver of the city is new at once.
        """
        while self._strangers:
            batches, self._strangers = self._strangers, []
            judged = self._judge(batches)
            wanted = {
                (region, driver_id)
                for region, driver_id in zip(judged.regions, judged.driver_ids, strict=True)
                if region is not None and driver_id not in self._last_t_ms
            }
            now_s = max(batch.now_s for batch in batches)
            for region, of_region in groupby(sorted(wanted), key=itemgetter(0)):
                await self._ask_last_times(region, [driver_id for _, driver_id in of_region], now_s)
            for batch in batches:
                batch.is_known = True
            self._take(batches)

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
                self._remember(driver_id, round(t_s * 1e3))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _unavailable(self, why: str) -> PingLogUnavailable:
        return PingLogUnavailable(f"{why}; send the batch again", self._params.retry_after_s)
