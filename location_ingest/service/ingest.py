"""The ingestion worker's service: turns messages of the log into positions in cells."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import numpy as np
import structlog

from geo.cells import latlng_to_cells
from geo.positions import pack
from location_ingest.column_engine import ColumnEngine, Verdicts
from location_ingest.columns import PingColumns, PositionColumns
from location_ingest.errors import UndecodableMessage
from location_ingest.kernels import REASONS, load_kernels, newest_places
from location_ingest.metrics import IngestMetrics
from location_ingest.model import (
    FOUND_BY_WORKER,
    NOT_NEWER,
    DeadLetter,
    IngestParams,
    RawMessage,
    Reason,
    RejectedPing,
    StoreParams,
    UnbelievedPing,
)
from location_ingest.ports import Cells, DeadLetters, PingReader, RejectionSamples, Standings

log = structlog.get_logger(__name__)

#: The verdicts that only the worker gives.
_FOUND_BY_WORKER = [number for number, reason in enumerate(REASONS, start=1) if reason in FOUND_BY_WORKER]


class IngestService:
    """Processes groups of pings from the log and updates the cells. One task at a time may call `process`."""

    def __init__(
        self,
        engine: ColumnEngine,
        reader: PingReader,
        cells: Cells,
        dead_letters: DeadLetters,
        *,
        resolution_of_region: Mapping[str, int],
        metrics: IngestMetrics,
        ingest_params: IngestParams | None = None,
        params: StoreParams | None = None,
        samples: RejectionSamples | None = None,
        standings: Standings | None = None,
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._cells = cells
        self._dead_letters = dead_letters
        self._resolution = dict(resolution_of_region)
        self._metrics = metrics
        self._ingest = ingest_params or IngestParams()
        self._params = params or StoreParams()
        self._samples = samples
        self._standings = standings

    def prepare(self) -> None:
        """Compile or load the kernels; blocks the interpreter for up to seconds."""
        load_kernels()
        latlng_to_cells([0.0], [0.0], 0)

    async def process(self, messages: Sequence[RawMessage], now_s: float) -> list[float]:
        """Store the accepted positions of the messages; write undecodable messages to the dead letters.

        Returns when the edge closed each of the groups, city seconds.

        Raises the store's errors; the engine is then rolled back, and the same call may be repeated: positions that
        were already stored are ignored.
        """
        groups, letters = self._decode(messages)
        decided: list[Verdicts] = []
        try:
            decided.extend(self._engine.handle(groups[region_id], now_s) for region_id in sorted(groups))
            self._count(decided)
            for verdicts in decided:
                await self._store(verdicts)
            await self._sample(decided, now_s)
            await self._mark(decided)
            for letter in letters:
                await self._dead_letters.append(letter)
                self._metrics.dead_letters.inc()
        except BaseException:
            for verdicts in decided:
                self._engine.restore(verdicts)
            raise
        return [group.received_s for of_region in groups.values() for group in of_region]

    async def sweep(self, now_s: float) -> int:
        """Take out every driver not seen for `remove_after_s`, and those seen in a time to come; returns how many."""
        swept = 0
        for region_id in sorted(self._resolution):
            swept += await self._cells.sweep(
                region_id,
                before_s=now_s - self._params.remove_after_s,
                after_s=now_s + self._ingest.future_skew_s_max,
            )
        self._metrics.drivers_swept.inc(swept)
        return swept

    def _decode(self, messages: Sequence[RawMessage]) -> tuple[dict[str, list[PingColumns]], list[DeadLetter]]:
        groups: dict[str, list[PingColumns]] = {}
        letters: list[DeadLetter] = []
        for message in messages:
            try:
                group = self._reader.decode(message)
            except UndecodableMessage as error:
                letters.append(DeadLetter(str(error), message))
                continue
            if group.region_id in self._resolution:
                groups.setdefault(group.region_id, []).append(group)
            else:
                letters.append(DeadLetter(f"unknown region {group.region_id!r}", message))
        return groups, letters

    def _count(self, decided: Sequence[Verdicts]) -> None:
        pings = sum(len(verdicts.driver_ids) for verdicts in decided)
        self._metrics.pings_in.inc(pings)
        self._metrics.batch_pings.observe(pings)

    async def _store(self, verdicts: Verdicts) -> None:
        """Store what is believed, several parts at once; the last part, which counts the rejected, after the others.

        A store that fails before that has counted nothing, and the next try counts them.
        """
        reasons = _count_reasons(verdicts)
        # What is not newer is a replay here, for the edge refuses it: counting it would make a replay change something.
        rejected = {reason: count for reason, count in reasons.items() if reason not in NOT_NEWER}
        positions = to_positions(verdicts, self._resolution[verdicts.region_id])
        *first, last = [*positions.parts(self._params.batch_positions_max)] or [positions]
        newer = sum(await _all_done([self._cells.put(verdicts.region_id, part, {}) for part in first]))
        if len(last) or rejected:
            newer += await self._cells.put(verdicts.region_id, last, rejected)
        self._metrics.pings_accepted.inc(newer)
        for reason, count in reasons.items():
            self._metrics.pings_rejected.labels(reason).inc(count)

    async def _sample(self, decided: Sequence[Verdicts], now_s: float) -> None:
        """Keep samples of rejected pings for operators; failures are ignored."""
        for verdicts in decided if self._samples else ():
            samples = rejected_samples(verdicts, self._params.batch_samples_max, now_s)
            try:
                if samples and self._samples:
                    await self._samples.add(verdicts.region_id, samples)
            # Never repeat a stored batch for the sake of samples.
            except Exception as error:
                log.warning("samples_not_kept", region_id=verdicts.region_id, error=str(error) or repr(error))

    async def _mark(self, decided: Sequence[Verdicts]) -> None:
        """Tell the phones whose newest ping was refused; failures are ignored, as for samples."""
        for verdicts in decided if self._standings else ():
            found = unbelieved(verdicts)
            try:
                if found and self._standings:
                    await self._standings.mark(verdicts.region_id, found)
            except Exception as error:
                log.warning("standings_not_kept", region_id=verdicts.region_id, error=str(error) or repr(error))


async def _all_done(calls: Sequence[Coroutine[Any, Any, int]]) -> list[int]:
    """Wait for all calls, then return the results or raise the first error."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if isinstance(answer, int)]


def _count_reasons(verdicts: Verdicts) -> dict[Reason, int]:
    counts = np.bincount(verdicts.verdict, minlength=1 + len(REASONS)).tolist()
    return {reason: count for reason, count in zip(REASONS, counts[1:], strict=True) if count}


def to_positions(verdicts: Verdicts, resolution: int) -> PositionColumns:
    """Return the believed positions as stored: packed, the newest of each driver, ascending by cell."""
    believed = np.flatnonzero(verdicts.verdict == 0)
    newest = newest_places(verdicts.driver[believed], verdicts.drivers)
    is_newest = newest == np.arange(len(newest))
    values = verdicts.values[believed[is_newest]]
    t_s, lat_deg, lng_deg, heading_deg, speed_mps = values[:, :5].T
    cell = latlng_to_cells(lat_deg, lng_deg, resolution)
    order = np.argsort(cell, kind="stable")
    # Where each believed ping's driver stands in that order.
    place_of = np.empty(len(newest), np.int64)
    place_of[np.flatnonzero(is_newest)[order]] = np.arange(len(order))
    earlier = np.flatnonzero(~is_newest)
    place = place_of[newest[earlier]]
    by_place = np.argsort(place, kind="stable")
    ids = verdicts.driver_ids
    return PositionColumns(
        [ids[at] for at in believed[is_newest][order].tolist()],
        cell[order],
        pack(t_s[order], lat_deg[order], lng_deg[order], speed_mps[order], heading_deg[order]),
        place[by_place],
        np.rint(verdicts.values[believed[earlier[by_place]], 0] * 1e3).astype(np.int64),
    )


def unbelieved(verdicts: Verdicts) -> list[UnbelievedPing]:
    """Return the newest ping of each driver if it was not believed for a reason that only the worker finds."""
    told = np.flatnonzero((verdicts.verdict == 0) | np.isin(verdicts.verdict, _FOUND_BY_WORKER))
    newest = newest_places(verdicts.driver[told], verdicts.drivers) == np.arange(len(told))
    places = told[newest & (verdicts.verdict[told] != 0)].tolist()
    return [
        UnbelievedPing(verdicts.driver_ids[at], REASONS[verdicts.verdict[at] - 1], float(verdicts.values[at, 0]))
        for at in places
    ]


def rejected_samples(verdicts: Verdicts, each_max: int, now_s: float) -> list[RejectedPing]:
    """Return the last few rejected pings of each reason, without replays."""
    samples = []
    for number, reason in enumerate(REASONS, start=1):
        if reason not in NOT_NEWER:
            places = np.flatnonzero(verdicts.verdict == number)[-each_max:].tolist()
            group = PingColumns(
                verdicts.region_id, now_s, [verdicts.driver_ids[at] for at in places], verdicts.values[places]
            )
            samples += [RejectedPing(reason, now_s, ping) for ping in group.pings]
    return samples
