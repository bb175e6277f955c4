"""Reconstructs the tracks of all drivers from ride events, along the roads between the places that events name."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dispatch import events as ev
from geo.arrays import FloatArray
from geo.distances import great_circle_m, unrolled_deg, within_globe_deg
from geo.roads.graph import RoadGraph
from kernel.points import Place
from kernel.supply import DriverState
from simulator.streets.leg_corners import LegCorners

#: What the numbers in `Tracks.state` mean: a number is a place in here.
STATES = tuple(DriverState)
_NUMBER = {state: number for number, state in enumerate(STATES)}


@dataclass(frozen=True)
class Tracks:
    """Track points of all drivers, one driver after the other; straight lines in between, standing after the last.

    Attributes:
        driver_id: (n,) ascending.
        offset: (n + 1,) where the corners of each driver begin.
        t_ms: (p,) int32 milliseconds since `begin_s`, ascending within a driver; unknown before the first.
        lat_e6, lng_e6: (p,) int32 millionths of a degree.
        state: (p,) uint8 what the driver does from here on, as a place in `STATES`.
    """

    begin_s: float
    driver_id: tuple[str, ...]
    offset: npt.NDArray[np.int32]
    t_ms: npt.NDArray[np.int32]
    lat_e6: npt.NDArray[np.int32]
    lng_e6: npt.NDArray[np.int32]
    state: npt.NDArray[np.uint8]


#: An idle driver seen at another place is assumed to have driven there at this speed.
_WANDER_MPS = 5.0
#: Sightings nearer than this are joined by a straight line instead of a road search.
_BY_ROAD_FROM_M = 150.0


#: What milliseconds hold in 32 bits: nearly 25 days.
LONGEST_S = (2**31 - 1) / 1e3


class Sighting(NamedTuple):
    """A free driver was near a node of the roads at a time."""

    at_s: float
    driver_id: str
    node: int


@dataclass(frozen=True)
class _Leg:
    """A drive under way: from a node (None: unknown) to a place, with start and expected arrival."""

    ride_id: str
    node: int | None
    to: Place
    begun_s: float
    due_s: float


@dataclass
class _Driver:
    """State and track of one driver while events are processed."""

    node: int | None = None
    state: DriverState = DriverState.IDLE
    leg: _Leg | None = None
    #: Accepted while a rider is aboard: (ride, when the driver is due there).
    next: tuple[str, float] | None = None
    t_s: list[float] = field(default_factory=list)
    lat_deg: list[float] = field(default_factory=list)
    lng_deg: list[float] = field(default_factory=list)
    states: list[DriverState] = field(default_factory=list)

    def stand(self, now_s: float, lat_deg: float, lng_deg: float, state: DriverState) -> None:
        """Add a corner."""
        self.state = state
        self.t_s.append(max(now_s, self.t_s[-1]) if self.t_s else now_s)
        self.lat_deg.append(lat_deg)
        self.lng_deg.append(lng_deg)
        self.states.append(state)

    def pass_by(self, t_s: FloatArray, lat_deg: FloatArray, lng_deg: FloatArray, state: DriverState) -> None:
        """Add corners (p,) in their order, after at least one other."""
        self.state = state
        self.t_s.extend(np.maximum(t_s, self.t_s[-1]).tolist())
        self.lat_deg.extend(lat_deg.tolist())
        self.lng_deg.extend(lng_deg.tolist())
        self.states.extend([state] * t_s.size)

    def turn(self, now_s: float, state: DriverState) -> None:
        """Change the state at the same place."""
        if self.t_s:
            self.stand(now_s, self.lat_deg[-1], self.lng_deg[-1], state)
        self.state = state


def tracks_of(
    events: Iterable[ev.RideEvent],
    graph: RoadGraph,
    start_node: Mapping[str, int],
    sightings: Iterable[Sighting] = (),
) -> Tracks:
    """Work out the tracks. `start_node` says where drivers began; others appear when they are seen or pick up first.

    Between two places that the events name the driver is taken to have driven the quickest way of `graph` evenly slower
    or faster, so that the times of the events hold. Of an idle driver only the sightings are known, in the order of
    their times; until the driver must have left for the next, and without any, she is drawn as standing still.
    """
    log = list(events)
    begin_s = log[0].at_s if log else 0.0
    builder = _TrackBuilder(graph, start_node, begin_s)
    # A round sees idle drivers before it sends offers: at equal times the sighting comes first.
    everything: Iterable[Sighting | ev.RideEvent] = heapq.merge(sightings, log, key=lambda item: item.at_s)
    for item in everything:
        if isinstance(item, Sighting):
            builder.observe(item)
        else:
            builder.take(item)
    builder.end(log[-1].at_s if log else 0.0)
    return builder.tracks()


class _TrackBuilder:
    def __init__(self, graph: RoadGraph, start_node: Mapping[str, int], begin_s: float) -> None:
        self._graph = graph
        self._begin_s = begin_s
        self._ends: dict[str, tuple[Place, Place]] = {}
        self._drivers: dict[str, _Driver] = {}
        self._corners = LegCorners(graph)
        for driver_id, node in start_node.items():
            driver = self._drivers[driver_id] = _Driver(node)
            driver.stand(begin_s, float(graph.lat_deg[node]), float(graph.lng_deg[node]), DriverState.IDLE)
        self._handlers: dict[type[ev.RideEvent], Callable[[_Driver, ev.RideEvent], None]] = {
            ev.OfferSent: self._offered,
            ev.OfferDeclined: self._free,
            ev.OfferExpired: self._free,
            ev.OfferWithdrawn: self._free,
            ev.OfferAccepted: self._accepted,
            ev.DriverArrived: self._arrived,
            ev.RiderPickedUp: self._picked_up,
            ev.RiderDroppedOff: self._dropped_off,
            ev.TripClosed: self._dropped_off,
            ev.RiderDidNotShow: self._called_back,
            ev.AssignmentCancelled: self._called_back,
            ev.RideCancelled: self._called_back,
        }

    def take(self, event: ev.RideEvent) -> None:
        if isinstance(event, ev.RideRequested):
            self._ends[event.ride_id] = (event.pickup, event.dropoff)
        driver_id, handler = getattr(event, "driver_id", None), self._handlers.get(type(event))
        if driver_id is not None and handler is not None:
            handler(self._drivers.setdefault(driver_id, _Driver()), event)

    def observe(self, sighting: Sighting) -> None:
        """Move an idle driver; sightings of other drivers are ignored, since events locate them better."""
        now_s, driver_id, node = sighting
        driver = self._drivers.setdefault(driver_id, _Driver())
        if driver.state is not DriverState.IDLE or (driver.t_s and (driver.node == node or now_s < self._begin_s)):
            return
        if driver.t_s:
            self._wander(driver, node, now_s)
        else:
            driver.stand(max(now_s, self._begin_s), *self._place(node), DriverState.IDLE)
        driver.node = node

    def end(self, now_s: float) -> None:
        """Add the drives that are still under way when the log ends."""
        for driver in self._drivers.values():
            leg = driver.leg
            if leg is None or leg.node is None or driver.state not in (DriverState.TO_PICKUP, DriverState.ON_TRIP):
                continue
            if driver.state is DriverState.ON_TRIP:  # no event holds its arrival time
                leg = driver.leg = replace(leg, due_s=leg.begun_s + self._corners.duration_s(leg.node, leg.to.node))
            self._drive(driver, now_s, max(leg.due_s, leg.begun_s), driver.state)

    def tracks(self) -> Tracks:
        names = tuple(sorted(self._drivers))
        drivers = [self._drivers[name] for name in names]
        end_s = max((driver.t_s[-1] for driver in drivers if driver.t_s), default=self._begin_s)
        longest_s = end_s - self._begin_s
        if longest_s > LONGEST_S:
            raise ValueError(
                f"the run lasts {longest_s / 86_400:.0f} days; tracks hold {LONGEST_S / 86_400:.0f}: "
                "replay a part of it"
            )
        offset = np.zeros(len(names) + 1, np.int32)
        np.cumsum([len(driver.t_s) for driver in drivers], out=offset[1:])

        def column(values: Iterable[list[float]], scale: float, shift: float = 0.0) -> npt.NDArray[np.int32]:
            flat = [value for part in values for value in part]
            return np.rint((np.array(flat, np.float64) - shift) * scale).astype(np.int32)

        return Tracks(
            self._begin_s,
            names,
            offset,
            column((driver.t_s for driver in drivers), 1e3, self._begin_s),
            column((driver.lat_deg for driver in drivers), 1e6),
            column((driver.lng_deg for driver in drivers), 1e6),
            np.array([_NUMBER[state] for driver in drivers for state in driver.states], np.uint8),
        )

    # -- what happens to a driver --------------------------------------------------------------------------------

    def _offered(self, driver: _Driver, event: ev.RideEvent) -> None:
        if driver.state is DriverState.IDLE:
            driver.turn(event.at_s, DriverState.OFFERED)

    def _free(self, driver: _Driver, event: ev.RideEvent) -> None:
        if driver.state is DriverState.OFFERED:
            driver.turn(event.at_s, DriverState.IDLE)

    def _accepted(self, driver: _Driver, event: ev.RideEvent) -> None:
        assert isinstance(event, ev.OfferAccepted)
        due_s = event.at_s + event.pickup_eta_s
        if driver.state in (DriverState.IDLE, DriverState.OFFERED):
            self._set_out(driver, event.ride_id, event.at_s, due_s)
        else:
            driver.next = (event.ride_id, due_s)

    def _set_out(self, driver: _Driver, ride_id: str, now_s: float, due_s: float) -> None:
        driver.leg = _Leg(ride_id, driver.node, self._ends[ride_id][0], now_s, max(due_s, now_s))
        driver.turn(now_s, DriverState.TO_PICKUP)

    def _arrived(self, driver: _Driver, event: ev.RideEvent) -> None:
        pickup, _ = self._ends[event.ride_id]
        self._drive(driver, event.at_s, event.at_s, DriverState.TO_PICKUP)
        driver.node, driver.leg = pickup.node, None
        driver.stand(event.at_s, *self._place(pickup.node), DriverState.AT_PICKUP)

    def _picked_up(self, driver: _Driver, event: ev.RideEvent) -> None:
        pickup, dropoff = self._ends[event.ride_id]
        driver.leg = _Leg(event.ride_id, pickup.node, dropoff, event.at_s, event.at_s)
        driver.stand(event.at_s, *self._place(pickup.node), DriverState.ON_TRIP)

    def _dropped_off(self, driver: _Driver, event: ev.RideEvent) -> None:
        _, dropoff = self._ends[event.ride_id]
        self._drive(driver, event.at_s, event.at_s, DriverState.ON_TRIP)
        driver.node, driver.leg = dropoff.node, None
        driver.stand(event.at_s, *self._place(dropoff.node), DriverState.IDLE)
        if driver.next is not None:
            (ride_id, due_s), driver.next = driver.next, None
            self._set_out(driver, ride_id, event.at_s, due_s)

    def _called_back(self, driver: _Driver, event: ev.RideEvent) -> None:
        if driver.next is not None and driver.next[0] == event.ride_id:
            driver.next = None
        elif driver.state is DriverState.AT_PICKUP:
            driver.turn(event.at_s, DriverState.IDLE)
        elif driver.leg is not None and driver.leg.ride_id == event.ride_id:
            self._drive(driver, event.at_s, max(driver.leg.due_s, event.at_s), DriverState.TO_PICKUP)
            driver.leg = None
            driver.turn(event.at_s, DriverState.IDLE)

    def _wander(self, driver: _Driver, node: int, now_s: float) -> None:
        """Add the way of an idle driver to a node: along the roads if it is far enough."""
        here = driver.lat_deg[-1], driver.lng_deg[-1]
        away_m = float(great_circle_m(*self._place(node), np.array(here[:1]), np.array(here[1:]))[0])
        if driver.node is None or away_m < _BY_ROAD_FROM_M:
            driver.stand(now_s - away_m / _WANDER_MPS, *here, DriverState.IDLE)
            driver.stand(now_s, *self._place(node), DriverState.IDLE)
            return
        share, lat_deg, lng_deg, _ = self._corners.of(driver.node, node, *here)
        length_m = float(great_circle_m(lat_deg[:-1], lng_deg[:-1], lat_deg[1:], lng_deg[1:]).sum())
        begun_s = max(now_s - length_m / _WANDER_MPS, driver.t_s[-1])
        driver.stand(begun_s, *here, DriverState.IDLE)
        driver.pass_by(begun_s + share[1:] * (now_s - begun_s), lat_deg[1:], lng_deg[1:], DriverState.IDLE)

    # -- along the roads -----------------------------------------------------------------------------------------

    def _drive(self, driver: _Driver, now_s: float, due_s: float, state: DriverState) -> None:
        """Add the current leg up to `now_s`; if it is due later, only the part driven by then."""
        leg = driver.leg
        if leg is None or leg.node is None:
            return
        share, lat_deg, lng_deg, nodes = self._corners.of(leg.node, leg.to.node, driver.lat_deg[-1], driver.lng_deg[-1])
        t_s = leg.begun_s + share * (due_s - leg.begun_s)
        done = int(np.searchsorted(t_s, now_s, "right"))
        driver.pass_by(t_s[1:done], lat_deg[1:done], lng_deg[1:done], state)
        if done < t_s.size:
            lng_here_deg = within_globe_deg(np.interp([now_s], t_s, unrolled_deg(lng_deg)))
            driver.stand(now_s, float(np.interp(now_s, t_s, lat_deg)), float(lng_here_deg[0]), state)
            driver.node = int(nodes[done])

    def _place(self, node: int) -> tuple[float, float]:
        return float(self._graph.lat_deg[node]), float(self._graph.lng_deg[node])
