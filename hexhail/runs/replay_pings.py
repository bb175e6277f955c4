"""Replays recorded pings as phones would send them: each driver over HTTP, in order, by the city's clock."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import httpx
import msgspec

from hexhail.runs.recorded_pings import RecordedPings
from kernel.clock import CityClock

#: As phones on a poor line do: a request of some pings each, not one for each ping.
TICK_S = 1.0
REQUESTS_AT_ONCE = 16
#: Wall seconds without progress, after which pings that the city should have judged count as missing.
DRAIN_S_MAX = 30.0
TRIES_MAX = 60
_LATE = ("duplicate_time", "out_of_order")


@dataclass(slots=True)
class ReplayFigures:
    """Counts of replayed pings by outcome."""

    sent: int = 0
    #: Answered as taken by the edge, or refused by it, by reason.
    taken: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    #: What the worker behind the edge made of those taken.
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    put_off: int = 0
    elapsed_s: float = 0.0
    #: Recorded seconds in a second.
    speed: float = 0.0
    #: How far the times were moved, so that the first ping was of that moment.
    shift_s: float = 0.0

    @property
    def unaccounted(self) -> int:
        """Pings with an unknown outcome; anything above 0 is a fault."""
        return self.sent - self.accepted - sum(self.rejected.values()) - sum(self.refused.values())

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        counted = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**counted, "unaccounted": self.unaccounted}


@dataclass(frozen=True)
class Installation:
    """Address of the installation, and the tokens of drivers and an operator."""

    api_url: str
    clock: CityClock
    driver_token: Callable[[str], str]
    operator_token: str


async def replay(
    pings: RecordedPings, city: Installation, progress: Callable[[ReplayFigures], None] = lambda _: None
) -> ReplayFigures:
    """Send all pings at the speed of the city's clock, and wait until the city has judged them; returns the figures.

    A clock that stands before the first ping is waited for, and the pings keep their times. Otherwise they are moved
    as a whole, so that the first is of now. Raises httpx.HTTPError if the API is not there.
    """
    figures = ReplayFigures()
    clock, first_s = city.clock, float(pings.t_s[0])
    limits = httpx.Limits(max_connections=REQUESTS_AT_ONCE)
    async with httpx.AsyncClient(base_url=city.api_url, timeout=30.0, limits=limits) as client:
        before = await _totals(client, city)
        shift_s = figures.shift_s = max(0.0, clock.now_s() - first_s)
        await asyncio.sleep(max(0.0, clock.wall_duration_s(first_s + shift_s - clock.now_s())))
        began_s = time.monotonic()
        sender = _Sender(client, city, figures)
        start = 0
        while start < len(pings):
            end = int(pings.t_s.searchsorted(clock.now_s() - shift_s, side="right"))
            await sender.send(pings.taken(slice(start, end)), shift_s)
            start = end
            figures.elapsed_s = time.monotonic() - began_s
            progress(figures)
            await asyncio.sleep(TICK_S if end < len(pings) else 0.0)
        recorded_s = float(pings.t_s[-1]) - first_s
        figures.speed = recorded_s / (time.monotonic() - began_s)
        await _drain(client, city, figures, before)
    return figures


class _Sender:
    def __init__(self, client: httpx.AsyncClient, city: Installation, figures: ReplayFigures) -> None:
        self._client = client
        self._city = city
        self._figures = figures
        self._slots = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._headers: dict[str, dict[str, str]] = {}

    async def send(self, pings: RecordedPings, shift_s: float) -> None:
        """Send pings of many drivers, one request each; return when all are taken or refused."""
        rows_of: dict[str, list[dict[str, float]]] = {}
        columns = {"t_s": pings.t_s + shift_s, "lat_deg": pings.lat_deg, "lng_deg": pings.lng_deg, **pings.optional}
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        for driver_id, row in zip(pings.driver_id.tolist(), values, strict=True):
            # A number that is unknown is left out, as a phone would.
            ping = {name: value for name, value in zip(columns, row, strict=True) if value == value}
            rows_of.setdefault(driver_id, []).append(ping)
        self._figures.sent += len(pings)
        await asyncio.gather(*[self._deliver(driver_id, rows) for driver_id, rows in rows_of.items()])

    async def _deliver(self, driver_id: str, rows: list[dict[str, float]]) -> None:
        async with self._slots:
            for attempt in range(TRIES_MAX):
                if not rows:
                    return
                answer = await self._post(driver_id, rows)
                if answer.status_code == 202:
                    refusals = answer.json().get("refusals", []) if answer.content else []
                    self._figures.taken += len(self._without(rows, refusals, is_again=attempt > 0))
                    return
                if answer.status_code == 503:
                    self._figures.put_off += len(rows)
                    await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
                elif refusals := _refusals(answer):
                    rows = self._without(rows, refusals, is_again=attempt > 0)
                else:
                    raise ValueError(f"the city answers pings of {driver_id} with {answer.status_code}: {answer.text}")
        raise TimeoutError(f"the pings of {driver_id} were put off {TRIES_MAX} times, with {answer.text}")

    async def _post(self, driver_id: str, rows: list[dict[str, float]]) -> httpx.Response:
        headers = self._headers.get(driver_id)
        if headers is None:
            headers = {"Authorization": f"Bearer {self._city.driver_token(driver_id)}"}
            self._headers[driver_id] = {**headers, "Content-Type": "application/json"}
        self._figures.requests += 1
        body = msgspec.json.encode({"pings": rows})
        return await self._client.post("/v1/drivers/me/pings", content=body, headers=self._headers[driver_id])

    def _without(
        self, rows: list[dict[str, float]], refusals: list[Mapping[str, Any]], *, is_again: bool
    ) -> list[dict[str, float]]:
        """Return what may be sent again; a ping that is late the second time had been taken the first time."""
        for refusal in refusals:
            if is_again and refusal["reason"] in _LATE:
                self._figures.taken += 1
            else:
                self._figures.refused[refusal["reason"]] += 1
        bad = {refusal["index"] for refusal in refusals}
        return [row for index, row in enumerate(rows) if index not in bad]


def _refusals(answer: httpx.Response) -> list[Mapping[str, Any]]:
    """The refused pings of an answer that says which; none of any other answer."""
    try:
        told = answer.json()
    except ValueError:
        return []
    return told.get("refusals") or [] if isinstance(told, dict) else []


async def _totals(client: httpx.AsyncClient, city: Installation) -> dict[str, Any]:
    answer = await client.get("/v1/ops/totals", headers={"Authorization": f"Bearer {city.operator_token}"})
    answer.raise_for_status()
    totals: dict[str, Any] = answer.json()
    return totals


async def _drain(
    client: httpx.AsyncClient, city: Installation, figures: ReplayFigures, before: Mapping[str, Any]
) -> None:
    """Wait until the worker has judged what the edge took, or does nothing any more."""
    deadline_s, judged = time.monotonic() + DRAIN_S_MAX, -1
    while time.monotonic() < deadline_s:
        totals = await _totals(client, city)
        figures.accepted = totals["pings_accepted"] - before["pings_accepted"]
        figures.rejected = Counter(totals["pings_rejected"])
        figures.rejected.subtract(before["pings_rejected"])
        now_judged = figures.accepted + sum(figures.rejected.values())
        if now_judged >= figures.taken:
            return
        if now_judged > judged:
            deadline_s, judged = time.monotonic() + DRAIN_S_MAX, now_judged
        await asyncio.sleep(0.2)
