"""Runs all drivers of a simulated day: delivers events to them, wakes them, and gives rounds their supply snapshot."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.errors import CommandRefused
from dispatch.model import DispatchParams, Party, SupplySnapshot
from dispatch.ports import Positions
from dispatch.rules.supply import aboard_considered, may_be_asked
from geo.arrays import BoolArray, FloatArray, IntArray
from geo.roads.graph import RoadGraph
from geo.roads.road_places import RoadPlaces, places_on_roads
from kernel.supply import DriverState, is_free, is_fresh, is_idle
from simulator.agenda import Agenda
from simulator.model import AskedAt, Errand, Offer, driver_ids
from simulator.people import actions as act
from simulator.people.driver import Driver
from simulator.service.tracking import Tracking
from simulator.service.virtual_dispatch import EventHandler, VirtualDispatch
from simulator.streets.odometer import Odometer
from simulator.streets.stops import Stops
from simulator.streets.ways import Ways


class Fleet:
    """All drivers, by their index in the input; ids ascend with the index, so that ties break alike everywhere."""

    def __init__(
        self,
        drivers: Sequence[Driver],
        seats: IntArray,
        graph: RoadGraph,
        stops: Stops,
        virtual_dispatch: VirtualDispatch,
        agenda: Agenda,
        params: DispatchParams,
        tracking: Tracking | None = None,
    ) -> None:
        """Without `tracking` the service sees true positions."""
        count = len(drivers)
        self.driver_id = driver_ids(count)
        self.tracking = tracking
        self._number_of = {driver_id: number for number, driver_id in enumerate(self.driver_id)}
        self._drivers = drivers
        self._seats = seats
        self._graph = graph
        self._stops = stops
        self._virtual_dispatch = virtual_dispatch
        self._agenda = agenda
        self._params = params
        #: Until when idle drivers stand where they are, asked at a time; that time itself while riders are about.
        self.stands_until_s: Callable[[float], float] = lambda now_s: now_s
        #: Current travel times as a multiple of those of the road graph.
        self.pace = 1.0
        self._is_online: BoolArray = np.zeros(count, np.bool_)
        #: Whether each driver has an offer or a next ride, and whether each has a rider aboard.
        self._is_bound: BoolArray = np.zeros(count, np.bool_)
        self._is_carrying: BoolArray = np.zeros(count, np.bool_)
        self._stop: IntArray = np.zeros(count, np.int64)
        self._moves_until_s: FloatArray = np.full(count, -math.inf)
        self._dark_until_s: FloatArray = np.full(count, -math.inf)
        #: Time of the last ping of drivers who have lost the connection.
        self._last_ping_s: FloatArray = np.full(count, -math.inf)
        self._idle_since_s: FloatArray = np.full(count, math.nan)
        self._planned_s = [math.inf] * count
        self._is_closed = False
        self.odometer = Odometer(count)
        #: Positions of drivers without a rider when they got an offer; ride events do not hold them.
        self.asked_at: list[AskedAt] = []
        for number in range(count):
            self._follow(number, drivers[number].wake_s)

    def handlers(self) -> dict[type[ev.RideEvent], EventHandler]:
        """Handlers of the ride events that concern drivers, by event type."""
        return {
            ev.OfferSent: self._on_offer,
            ev.OfferDeclined: self._on_end,
            ev.OfferExpired: self._on_end,
            ev.OfferWithdrawn: self._on_end,
            ev.AssignmentCancelled: self._on_release,
            ev.RideCancelled: self._on_release,
            ev.RiderDidNotShow: self._on_release,
            ev.TripClosed: self._on_trip_closed,
        }

    def supply(self, now_s: float, n_waiting: int) -> SupplySnapshot:
        """Supply snapshot for a round of `n_waiting` requests, by the live service's rules.

        For drivers with a rider aboard the live service searches the way from the last position to the dropoff. Here
        it is the rest of the current way; the two differ by the snap of the position to a node.
        """
        idle, chain_within_s = self._is_idle(now_s), self._params.chain_within_s
        free_in_s = np.where(self._is_carrying, np.maximum(self._moves_until_s - now_s, 0.0), 0.0)
        aboard = self._is_online & self._is_carrying & ~self._is_bound
        n_idle = int(np.count_nonzero(idle))
        considered = aboard_considered(aboard, self._is_fresh(now_s), n_idle, n_waiting, chain_within_s)
        row = np.flatnonzero(may_be_asked(idle, considered, free_in_s, chain_within_s))
        places = self._places_seen(row, now_s)
        names = self.driver_id
        return SupplySnapshot(
            now_s=now_s,
            driver_id=tuple([names[at] for at in row.tolist()]),
            node=places.node,
            seats=self._seats[row],
            idle_since_s=np.where(self._is_carrying[row], now_s + free_in_s[row], self._idle_since_s[row]),
            free_in_s=free_in_s[row],
            pace=self.pace,
            edge=places.edge,
            share=places.share,
        )

    def positions(self) -> Positions | None:
        """Where tracking last believed the drivers to be; None without tracking."""
        return None if self.tracking is None else self.tracking.positions()

    def moving(self, now_s: float) -> int:
        """Return the number of drivers who are driving."""
        return int(np.count_nonzero(self._is_online & (self._moves_until_s > now_s)))

    def learn_approaches(self, matches: Sequence[ev.MatchFound], ways: Ways) -> None:
        """Search the ways to all pickups of a round in one batch, ahead of the drivers' own look-ups."""
        if matches:
            at = [self._number_of[match.driver_id] for match in matches]
            pickups = [self._stops.at(self._virtual_dispatch.history.rides[match.ride_id].pickup) for match in matches]
            ways.learn(self._stop[at], pickups)

    def idle_nodes(self, now_s: float) -> IntArray:
        """The nodes (m,) where the idle drivers stand, or are cruising to."""
        return self._stops.places.node[self._stop[self._is_idle(now_s)]]

    def idle_places(self, now_s: float) -> tuple[FloatArray, FloatArray]:
        """Where the idle drivers are, as the service knows it: lat_deg (m,), lng_deg (m,)."""
        row = np.flatnonzero(self._is_idle(now_s))
        if self.tracking is None:
            return self._places(row, now_s)[:2]
        return self.tracking.lat_deg[row], self.tracking.lng_deg[row]

    def ping(self, now_s: float) -> None:
        """Send the pings of all connected drivers; requires tracking."""
        assert self.tracking is not None
        row = np.flatnonzero(self._is_online & (now_s >= self._dark_until_s))
        self.tracking.take(row, *self._places(row, now_s), now_s)

    def dropoffs(self, now_s: float) -> tuple[IntArray, FloatArray]:
        """Dropoff node (n,) and remaining seconds (n,) of drivers with a rider aboard and no next ride."""
        row = np.flatnonzero(self._is_carrying & ~self._is_bound)
        return self._stops.places.node[self._stop[row]], np.maximum(self._moves_until_s[row] - now_s, 0.0)

    def states(self) -> Counter[DriverState]:
        """Return the number of drivers in each state."""
        return Counter(driver.state for driver in self._drivers)

    def close(self, now_s: float) -> None:
        """End the shifts of all drivers without a ride; the others end after their ride."""
        self._is_closed = True
        for number, driver in enumerate(self._drivers):
            if driver.errand is None:
                self._planned_s[number] = math.inf

    def settle(self, now_s: float) -> None:
        """Add movements under way to the odometer; the last call of a run."""
        for number, driver in enumerate(self._drivers):
            self.odometer.settle(number, now_s, is_online=driver.is_online)

    # -- events for drivers ------------------------------------------------------------------------------------------

    def _on_offer(self, event: ev.RideEvent, now_s: float) -> None:
        assert isinstance(event, ev.OfferSent)
        number = self._number_of[event.driver_id]
        self._is_bound[number] = True
        if not self._is_carrying[number]:
            here = self._drivers[number].position(now_s)
            self.asked_at.append(AskedAt(now_s, number, here.lat_deg, here.lng_deg))
        offer = Offer(
            event.offer_id,
            event.ride_id,
            event.pickup,
            event.dropoff,
            event.pickup_eta_s,
            event.expires_s,
        )
        self._do(number, self._drivers[number].offered(offer, now_s), now_s)

    def _on_end(self, event: ev.RideEvent, now_s: float) -> None:
        assert isinstance(event, ev.OfferDeclined | ev.OfferExpired | ev.OfferWithdrawn)
        number = self._number_of[event.driver_id]
        self._is_bound[number] = False
        self._drivers[number].offer_gone(event.offer_id, now_s)
        self._follow(number, now_s)

    def _on_release(self, event: ev.RideEvent, now_s: float) -> None:
        assert isinstance(event, ev.AssignmentCancelled | ev.RideCancelled | ev.RiderDidNotShow)
        if event.driver_id is None:
            return
        number = self._number_of[event.driver_id]
        self._is_bound[number], self._idle_since_s[number] = False, now_s
        self._drivers[number].released(event.ride_id, now_s)
        self._follow(number, now_s)

    def _on_trip_closed(self, event: ev.RideEvent, now_s: float) -> None:
        assert isinstance(event, ev.TripClosed)
        number = self._number_of[event.driver_id]
        self._is_carrying[number], self._idle_since_s[number] = False, now_s
        self.odometer.drop_off(number, now_s)
        self._drivers[number].released(event.ride_id, now_s)
        self._follow(number, now_s)

    def kill_phone(self, number: int, now_s: float) -> None:
        """From now on nothing is sent and nothing is answered: the service still knows what was said before."""
        self._drivers[number].dark_until_s = math.inf
        self._planned_s[number] = math.inf
        self._follow(number, now_s)

    # -- what drivers do ---------------------------------------------------------------------------------------------

    def _wake(self, number: int, now_s: float) -> None:
        if now_s != self._planned_s[number]:
            return  # planned anew since
        stands_until_s = self.stands_until_s(now_s)
        if stands_until_s > now_s and self._drivers[number].errand is None:
            self._planned_s[number] = stands_until_s
            self._agenda.at(stands_until_s, self._wake, number)
            return
        self._planned_s[number] = math.inf
        self._do(number, self._drivers[number].wake(now_s), now_s)

    def _do(self, number: int, actions: list[act.DriverAction], now_s: float) -> None:
        for action in actions:
            match action:
                case act.AcceptOffer():
                    self._accept(number, action, now_s)
                case act.ReportArrived():
                    self._send(cmd.ReportArrival(action.ride_id, self.driver_id[number]), now_s)
                case act.ReportPickedUp():
                    self._is_bound[number], self._is_carrying[number] = False, True
                    self.odometer.pick_up(number, now_s)
                    self._send(cmd.ReportPickup(action.ride_id, self.driver_id[number]), now_s)
                case act.ReportDroppedOff():
                    self._is_carrying[number], self._idle_since_s[number] = False, now_s
                    self.odometer.drop_off(number, now_s)
                    self._send(cmd.ReportDropoff(action.ride_id, self.driver_id[number]), now_s)
                case act.DeclineOffer():
                    self._send(cmd.DeclineOffer(action.offer_id, self.driver_id[number]), now_s)
                case act.CancelRide():
                    self._send(
                        cmd.CancelRide(action.ride_id, Party.DRIVER, self.driver_id[number], action.reason), now_s
                    )
                case act.GoOnline():
                    self._is_online[number], self._idle_since_s[number] = True, now_s
                    self.odometer.go_online(number, now_s)
                case act.GoOffline():
                    self._is_online[number] = False
                    self.odometer.go_offline(number, now_s)
        self._follow(number, now_s)

    def _accept(self, number: int, action: act.AcceptOffer, now_s: float) -> None:
        """Accept the offer; on refusal the driver gets `offer_gone`."""
        try:
            (accepted,) = self._virtual_dispatch.handle(cmd.AcceptOffer(action.offer_id, self.driver_id[number]), now_s)
        except CommandRefused:
            self._drivers[number].offer_gone(action.offer_id, now_s)
            return
        ride = self._virtual_dispatch.history.rides[accepted.ride_id]
        self._drivers[number].assigned(Errand(ride.ride_id, ride.pickup, ride.dropoff), now_s)

    def _send(self, command: cmd.RideCommand, now_s: float) -> None:
        """Send a command; a refusal is ignored, because an event that the driver has received overtook it."""
        try:
            self._virtual_dispatch.handle(command, now_s)
        except CommandRefused:
            return

    def _follow(self, number: int, now_s: float) -> None:
        """Schedule the driver's next `wake` and record the movement; call it after each change of a driver."""
        driver = self._drivers[number]
        wake_s = max(driver.wake_s, now_s) if driver.dark_until_s < math.inf else math.inf
        if wake_s != self._planned_s[number] and not (self._is_closed and driver.errand is None):
            self._planned_s[number] = wake_s
            if wake_s < math.inf:
                self._agenda.at(wake_s, self._wake, number)
        if driver.motion is not self.odometer.leg[number]:
            self.odometer.set_out(number, driver.motion, now_s, is_occupied=driver.state is DriverState.ON_TRIP)
            self._stop[number] = driver.motion.end_stop
            self._moves_until_s[number] = driver.motion.arrival_s
        if driver.dark_until_s != self._dark_until_s[number]:
            self._dark_until_s[number], self._last_ping_s[number] = driver.dark_until_s, now_s

    # -- where drivers are -------------------------------------------------------------------------------------------

    def _places_seen(self, row: IntArray, now_s: float) -> RoadPlaces:
        """The places (n,) from which a round counts pickup ETAs; with a rider aboard, the dropoff."""
        places = self._stops.places[self._stop[row]]
        if self.tracking is not None:
            seen = np.flatnonzero(~self._is_carrying[row])
            lat_deg, lng_deg = self.tracking.lat_deg[row[seen]], self.tracking.lng_deg[row[seen]]
        else:
            seen = np.flatnonzero((self._moves_until_s[row] > now_s) & ~self._is_carrying[row])
            lat_deg, lng_deg, _ = self._places(row[seen], now_s)
        if seen.size:
            there = places_on_roads(self._graph, lat_deg, lng_deg)
            places.node[seen], places.edge[seen], places.share[seen] = there.node, there.edge, there.share
        return places

    def _is_fresh(self, now_s: float) -> BoolArray:
        """Whether each driver's (n,) last ping is recent enough."""
        if self.tracking is not None:
            seen_s = self.tracking.last_ping_s
        else:
            seen_s = np.where(now_s >= self._dark_until_s, now_s, self._last_ping_s)
        return is_fresh(seen_s, now_s, self._params.stale_after_s)

    def _is_idle(self, now_s: float) -> BoolArray:
        """Whether each driver (n,) is idle."""
        return is_idle(is_free(self._is_online, self._is_bound | self._is_carrying), self._is_fresh(now_s))

    def _places(self, row: IntArray, now_s: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """True positions: lat_deg (n,), lng_deg (n,), speed_mps (n,)."""
        lat_deg, lng_deg = self._stops.lat_deg[self._stop[row]], self._stops.lng_deg[self._stop[row]]
        speed_mps = np.zeros(row.size)
        for at in np.flatnonzero(self._moves_until_s[row] > now_s).tolist():
            here = self._drivers[int(row[at])].position(now_s)
            lat_deg[at], lng_deg[at], speed_mps[at] = here.lat_deg, here.lng_deg, here.speed_mps
        return lat_deg, lng_deg, speed_mps
