"""Judges the ping batches of many phones at once, on arrays: the pure part of the gateway.

A *slot* is a driver of a batch. Most batches are of one phone and have one; all arrays of drivers are by slot.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from geo.arrays import BoolArray, FloatArray, IntArray
from location_ingest.columns import ROW_NUMBERS, PingColumns, forget_unknown_inplace
from location_ingest.kernels import NEVER_MS, OFF_REGION, REASONS, judge_numbers, judge_times_inplace
from location_ingest.model import DriverPing, Refusal
from location_ingest.rules import wrong_field

#: Maps latitudes and longitudes (n,) in degrees to region numbers (n,), -1 outside all regions.
RegionOf = Callable[[FloatArray, FloatArray], IntArray]


@dataclass(slots=True, eq=False)
class PhoneBatch:
    """One request's pings, received at city time `now_s`.

    Attributes:
        drivers: the distinct drivers of the pings.
        numbers: of the pings (n), six of each in the order of `PingRow`, one after the other: a list without tuples in
            it costs the garbage collector nothing.
        driver_of: (n) the place of each ping's driver in `drivers`; None if all are of the only one.
    """

    drivers: Sequence[str]
    numbers: Sequence[float | None]
    now_s: float
    driver_of: Sequence[int] | None

    def __len__(self) -> int:
        return len(self.numbers) // ROW_NUMBERS


Batch = TypeVar("Batch", bound=PhoneBatch)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedBatches(Generic[Batch]):
    """Concatenated batches; their pings are judged by everything except earlier times of the drivers.

    Attributes:
        first_slot: (b + 1,) the slots of batch i are those from its first to that of the next.
        first_ping: (b + 1,) the same of its pings.
        drivers: the driver of each slot (s).
        batch_of, slot_of: (n,) of each ping.
        values: (n, 6) as in `PingColumns`.
        region: (n,) its number, -1 if the ping is refused.
        verdict: (n,) 0 or 1 + the place of the reason in `Reason`.
        newest_ms: (s,) the newest time of each slot, `NEVER_MS` if there is none.
    """

    batches: Sequence[Batch]
    first_slot: list[int]
    first_ping: list[int]
    drivers: list[str]
    batch_of: IntArray
    slot_of: IntArray
    values: FloatArray
    region_id: IntArray
    verdict: NDArray[np.int8]
    newest_ms: IntArray

    def unknown_driver_slots(self, known: Container[str]) -> list[int]:
        """Return the slots, ascending, whose driver is not known and has a ping in some region."""
        strange = [slot for slot, driver_id in enumerate(self.drivers) if driver_id not in known]
        if not strange:
            return []
        placed = np.zeros(len(self.drivers), bool)
        placed[self.slot_of[self.region_id >= 0]] = True
        return [slot for slot in strange if placed[slot]]

    def batch_of_slot(self, slot: int) -> int:
        """Return the number of the batch that a slot belongs to."""
        return int(np.searchsorted(self.first_slot, slot, side="right")) - 1

    def regions_of(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Return (region number, driver), each once and ascending, for every region in which the slots have a ping."""
        wanted = np.zeros(len(self.drivers), bool)
        wanted[slots] = True
        places = np.flatnonzero(wanted[self.slot_of] & (self.region_id >= 0))
        pairs = zip(self.region_id[places].tolist(), self.slot_of[places].tolist(), strict=True)
        return sorted({(region_id, self.drivers[slot]) for region_id, slot in pairs})

    def judge_times(self, last_t_ms: Mapping[str, int]) -> None:
        """Refuse pings that are not newer than their driver's last time and than earlier pings of the batch."""
        get = last_t_ms.get
        self.newest_ms[:] = [get(driver_id, NEVER_MS) for driver_id in self.drivers]
        judge_times_inplace(self.verdict, self.newest_ms, self.slot_of, self.values[:, 0])

    def refused(self) -> Iterator[tuple[int, list[Refusal]]]:
        """Yield (batch number, its refusals by index) of each batch with a bad ping."""
        for number in np.unique(self.batch_of[self.verdict != 0]).tolist():
            first, end = self.first_ping[number], self.first_ping[number + 1]
            bad = np.flatnonzero(self.verdict[first:end]).tolist()
            yield number, [self._refusal(first, at) for at in bad]

    def _refusal(self, first: int, at: int) -> Refusal:
        row: list[float] = self.values[first + at].tolist()
        found = wrong_field(DriverPing("?", *row))
        return Refusal.of(at, REASONS[self.verdict[first + at] - 1], found[0] if found else "")

    def groups(
        self, is_sent: BoolArray, regions: Sequence[str], pings_max: int
    ) -> Iterator[tuple[PingColumns, list[int]]]:
        """Yield (group, ascending numbers of its batches) for the good pings of the batches (b,) to send.

        Of each region one, several if there are many pings; the order of the pings stays.
        """
        places = np.flatnonzero(is_sent[self.batch_of] & (self.verdict == 0))
        drivers = np.array(self.drivers, object)
        for number, name in enumerate(regions):
            own = places[self.region_id[places] == number]
            for start in range(0, len(own), pings_max):
                part = own[start : start + pings_max]
                senders = np.unique(self.batch_of[part]).tolist()
                received_s = max(self.batches[sender].now_s for sender in senders)
                driver_ids = drivers[self.slot_of[part]].tolist()
                yield PingColumns(name, received_s, driver_ids, self.values[part]), senders


def judge_batches(batches: Sequence[Batch], limits: FloatArray, region_of: RegionOf) -> JudgedBatches[Batch]:
    """Concatenate the batches and judge them by their values and regions; `limits` are those of the kernels."""
    sizes = [len(batch) for batch in batches]
    numbers: Iterator[Any] = chain.from_iterable(batch.numbers for batch in batches)
    values = np.fromiter(numbers, np.float64, ROW_NUMBERS * sum(sizes)).reshape(-1, ROW_NUMBERS)
    forget_unknown_inplace(values)
    verdict = judge_numbers(values, np.repeat([batch.now_s for batch in batches], sizes), limits)
    region_id = np.full(len(values), -1, np.int64)
    sound = np.flatnonzero(verdict == 0)
    if len(sound):
        region_id[sound] = region_of(values[sound, 1], values[sound, 2])
    verdict[(verdict == 0) & (region_id < 0)] = OFF_REGION
    drivers = list(chain.from_iterable(batch.drivers for batch in batches))
    first_slot = _firsts([len(batch.drivers) for batch in batches])
    first_ping = _firsts(sizes)
    batch_of = np.repeat(np.arange(len(batches)), sizes)
    slot_of = np.array(first_slot[:-1], np.int64)[batch_of]
    for number, batch in enumerate(batches):
        if batch.driver_of is not None:
            slot_of[first_ping[number] : first_ping[number + 1]] += batch.driver_of
    newest_ms = np.full(len(drivers), NEVER_MS)
    return JudgedBatches(
        batches, first_slot, first_ping, drivers, batch_of, slot_of, values, region_id, verdict, newest_ms
    )


def _firsts(sizes: Sequence[int]) -> list[int]:
    firsts: list[int] = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).tolist()
    return firsts
