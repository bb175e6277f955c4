"""The operators' live map feed: one frame for all watchers, built only while somebody watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Container, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from fastapi import Depends
from starlette.requests import HTTPConnection

from api.edges import LiveFigures, PictureEdges
from api.failures import problem_of_failure
from api.streams.advice import AdviceFeed
from api.streams.sockets import end
from dispatch.model import Ride, RideState
from geo.cells import cells_to_strings
from kernel.supply import BUSY, BoolArray, DriverState, Duties, driver_states, is_fresh

#: Often enough to look alive, seldom enough that a hundred watchers cost little.
FRAME_EVERY_S = 0.5
#: Totals come from SQL; they need not be newer than this.
FIGURES_EVERY_S = 2.0


class LiveFeed:
    """Builds frames and gives each watcher the newest; a slow watcher skips frames and delays nobody."""

    def __init__(self, edges: PictureEdges, advice: AdviceFeed) -> None:
        self._edges = edges
        self._advice = advice
        self._watchers: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None
        self._making = asyncio.Lock()
        self._frame: dict[str, Any] | None = None
        self._frame_at = 0.0
        self._figures: LiveFigures | None = None
        self._figures_at = 0.0
        self._pings = (0, 0.0)
        self._pings_per_s = 0.0

    def follow(self, edges: PictureEdges) -> None:
        """Make the frames from now on of these."""
        self._edges = edges

    def watch(self) -> asyncio.Queue[str]:
        """A queue that holds the newest frame."""
        queue: asyncio.Queue[str] = asyncio.Queue(1)
        self._watchers.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._make_frames())
        return queue

    def leave(self, queue: asyncio.Queue[str]) -> None:
        """Stop watching."""
        self._watchers.discard(queue)

    async def close(self) -> None:
        """Make no more frames."""
        self._watchers.clear()
        if self._task is not None:
            await end([self._task])

    async def _make_frames(self) -> None:
        while self._watchers:
            try:
                frame = msgspec.json.encode(await self.frame()).decode()
            except Exception as error:
                # Whatever the error, it is logged, and the watchers wait for the next frame.
                problem_of_failure(error, self._edges.outages)
            else:
                self._hand_out(frame)
            await asyncio.sleep(FRAME_EVERY_S)

    def _hand_out(self, frame: str) -> None:
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(frame)

    async def frame(self) -> dict[str, Any]:
        """The current picture. Calls within one frame's time share it. Raises what the stores raise."""
        async with self._making:
            if self._frame is None or time.monotonic() - self._frame_at > FRAME_EVERY_S / 2:
                self._frame, self._frame_at = await self._make_frame(), time.monotonic()
            return self._frame

    async def _make_frame(self) -> dict[str, Any]:
        edges, region_id = self._edges, self._edges.city.region.region_id
        recent, open_rides, live_rides, figures = await asyncio.gather(
            edges.supply.drivers(FRAME_EVERY_S / 2),
            edges.rides.open_rides(region_id),
            edges.rides.live_rides(region_id),
            self._recent_figures(),
        )
        now_s, positions = edges.now(), recent.positions
        fresh = is_fresh(positions.t_s, now_s, edges.stale_after_s)
        state = driver_states(duties_of(positions.driver_id, recent.free, open_rides, live_rides), fresh)
        surge = await self._surge(now_s)
        shown = [row for row, each in enumerate(state) if each is not DriverState.OFFLINE]
        return {
            "type": "frame",
            "now_s": now_s,
            "drivers": {
                "id": [positions.driver_id[row] for row in shown],
                "lat_deg": positions.lat_deg[shown].tolist(),
                "lng_deg": positions.lng_deg[shown].tolist(),
                "heading_deg": [None if np.isnan(h) else h for h in positions.heading_deg[shown].tolist()],
                "state": [state[row] for row in shown],
            },
            "requests": [_request_of(ride) for ride in open_rides],
            "surge": surge,
            "advice": self._advised(positions.driver_id, state),
            "figures": self._figures_body(figures, [state[row] for row in shown], open_rides, surge, now_s),
        }

    def _advised(self, driver_ids: Sequence[str], states: Sequence[DriverState]) -> list[dict[str, Any]]:
        """Where idle drivers are advised to wait."""
        standing = self._advice.standing()
        return [
            {"driver_id": driver_id, "lat_deg": standing[driver_id].lat_deg, "lng_deg": standing[driver_id].lng_deg}
            for driver_id, state in zip(driver_ids, states, strict=True)
            if state is DriverState.IDLE and driver_id in standing
        ]

    async def _surge(self, now_s: float) -> list[dict[str, Any]]:
        cells = self._edges.city.surge_cells
        prices = await self._edges.prices.read_many(cells.tolist(), now_s)
        return [
            {"cell": name, "multiplier": price.multiplier}
            for name, price in zip(cells_to_strings(cells), prices, strict=True)
            if round(price.multiplier, 2) != 1.0
        ]

    async def _recent_figures(self) -> LiveFigures:
        if self._figures is None or time.monotonic() - self._figures_at > FIGURES_EVERY_S:
            self._figures = await self._edges.figures()
            now = time.monotonic()
            pings, since = self._figures.totals.get("pings_accepted", 0), self._figures_at
            if since:
                self._pings_per_s = max(0.0, (pings - self._pings[0]) / (now - since))
            self._pings = (pings, now)
            self._figures_at = now
        return self._figures

    def _figures_body(
        self,
        figures: LiveFigures,
        states: Sequence[DriverState],
        open_rides: Sequence[Ride],
        surge: Sequence[dict[str, Any]],
        now_s: float,
    ) -> dict[str, Any]:
        rounds_ms = [report.wall_ms for report in figures.rounds if report.n_waiting]
        waits_s = figures.pickup_waits_s
        by_state = figures.rides_by_state
        return {
            "drivers_online": len(states),
            "drivers_idle": states.count(DriverState.IDLE),
            "drivers_busy": sum(state in BUSY for state in states),
            "requests_open": len(open_rides),
            "rides_completed": by_state.get("COMPLETED", 0),
            "rides_cancelled": by_state.get("CANCELLED", 0),
            "rides_expired": by_state.get("EXPIRED", 0),
            "pickup_wait_mean_s": float(np.mean(waits_s)) if waits_s else None,
            "pickup_wait_p95_s": float(np.percentile(waits_s, 95)) if waits_s else None,
            "oldest_request_age_s": now_s - open_rides[0].requested_s if open_rides else None,
            "pings_per_s": self._pings_per_s,
            "round_ms_p50": float(np.percentile(rounds_ms, 50)) if rounds_ms else None,
            "round_ms_p99": float(np.percentile(rounds_ms, 99)) if rounds_ms else None,
            "surge_max": max((cell["multiplier"] for cell in surge), default=1.0),
            "rides_age_s": figures.age_s,
        }


def _request_of(ride: Ride) -> dict[str, Any]:
    """The frame's entry of a ride without a driver."""
    return {
        "ride_id": ride.ride_id,
        "state": ride.state,
        "lat_deg": ride.pickup.lat_deg,
        "lng_deg": ride.pickup.lng_deg,
        "requested_s": ride.requested_s,
    }


def duties_of(
    driver_ids: Sequence[str], free: Collection[str], open_rides: Sequence[Ride], live_rides: Sequence[Ride]
) -> Duties:
    """What these drivers (n,) are bound to; a driver who is neither free nor bound is off shift."""

    def is_in(drivers: Container[str | None]) -> BoolArray:
        return np.fromiter((driver_id in drivers for driver_id in driver_ids), np.bool_, len(driver_ids))

    def has_ride(state: RideState) -> BoolArray:
        return is_in({ride.driver_id for ride in live_rides if ride.state is state})

    has_offer = is_in({ride.offer.driver_id for ride in open_rides if ride.offer and ride.state is RideState.OFFERED})
    bound = [has_offer, *map(has_ride, (RideState.ASSIGNED, RideState.ARRIVED, RideState.ON_TRIP))]
    return Duties(is_in(set(free)) | np.logical_or.reduce(bound), *bound)


async def _feed_of(connection: HTTPConnection) -> LiveFeed:
    feed: LiveFeed = connection.app.state.live
    return feed


LiveFeedDep = Annotated[LiveFeed, Depends(_feed_of)]
