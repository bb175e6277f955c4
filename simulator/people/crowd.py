"""Runs all riders of a simulated day: each appears at the time of the request, asks for a quote, decides and waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from dispatch import commands as cmd
from dispatch import events as ev
from dispatch.errors import CommandRefused
from dispatch.model import Party
from kernel.points import Place
from simulator.agenda import Agenda
from simulator.demand.inputs import PlacedRequests
from simulator.people import actions as act
from simulator.service.market import Market
from simulator.service.virtual_dispatch import EventHandler, VirtualDispatch


class RiderLike(Protocol):
    """The interface of a rider; see `simulator.people.rider.Rider`."""

    wake_s: float

    def start(self) -> list[act.RiderAction]: ...  # noqa: D102
    def quoted(self, surge_multiplier: float, now_s: float) -> None: ...  # noqa: D102
    def requested(self, ride_id: str, now_s: float) -> None: ...  # noqa: D102
    def assigned(self, pickup_eta_s: float, now_s: float) -> None: ...  # noqa: D102
    def unassigned(self, now_s: float) -> None: ...  # noqa: D102
    def driver_arrived(self) -> None: ...  # noqa: D102
    def picked_up(self) -> None: ...  # noqa: D102
    def gone(self) -> None: ...  # noqa: D102
    def wake(self, now_s: float) -> list[act.RiderAction]: ...  # noqa: D102


def ride_id_of(row: int) -> str:
    """The ride id of the request in a row; ids ascend with the rows."""
    return f"r{row:07d}"


def row_of(ride_id: str) -> int:
    """The inverse of `ride_id_of`."""
    return int(ride_id[1:])


class Crowd:
    """All riders, by the row of their request; a rider object lives from the request's time to the end of the ride."""

    def __init__(
        self,
        requests: PlacedRequests,
        region_id: str,
        market: Market,
        virtual_dispatch: VirtualDispatch,
        agenda: Agenda,
        make_rider: Callable[[int], RiderLike],
    ) -> None:
        self._requests = requests
        self._region_id = region_id
        self._market = market
        self._virtual_dispatch = virtual_dispatch
        self._agenda = agenda
        self._make_rider = make_rider
        self._riders: dict[int, RiderLike] = {}
        self._row_of: dict[str, int] = {}
        self._planned_s: dict[int, float] = {}
        self._t_s = requests.asked.t_s.tolist()
        self._places = _road_places(requests)
        self._party_size = requests.asked.party_size.tolist()
        self._fare_cents: dict[int, int] = {}
        self._is_closed = False
        #: When the next rider appears; infinite after the last.
        self.next_s: float = self._t_s[0]
        self.left_for_price = 0
        self.gone = 0
        self._agenda.at(self._t_s[0], self._appear, 0)

    def __len__(self) -> int:
        return len(self._t_s)

    @property
    def is_gone(self) -> bool:
        """Whether all riders have finished and no more will appear."""
        return self.gone == len(self._t_s)

    @property
    def is_away(self) -> bool:
        """Whether nobody is there now: no rider decides, waits or rides."""
        return not self._riders

    def handlers(self) -> dict[type[ev.RideEvent], EventHandler]:
        """Handlers of the ride events that concern riders, by event type."""
        return {
            ev.OfferAccepted: self._on_assigned,
            ev.AssignmentCancelled: self._on_unassigned,
            ev.DriverArrived: self._on_arrival,
            ev.RiderPickedUp: self._on_pickup,
            ev.RiderDroppedOff: self._on_end,
            ev.TripClosed: self._on_end,
            ev.RiderDidNotShow: self._on_end,
            ev.RideCancelled: self._on_end,
            ev.RideExpired: self._on_end,
        }

    def close(self) -> None:
        """Remove riders who have not decided yet; nobody requests a ride any more."""
        self._is_closed = True

    # -- what riders do ----------------------------------------------------------------------------------------------

    def _appear(self, row: int, now_s: float) -> None:
        self.next_s = self._t_s[row + 1] if row + 1 < len(self._t_s) else math.inf
        if row + 1 < len(self._t_s):
            self._agenda.at(self._t_s[row + 1], self._appear, row + 1)
        rider = self._riders[row] = self._make_rider(row)
        self._do(row, rider, rider.start(), now_s)

    def _wake(self, row: int, now_s: float) -> None:
        rider = self._riders.get(row)
        if rider is None or self._is_closed or now_s != self._planned_s.get(row):
            return  # gone, or rescheduled since
        del self._planned_s[row]
        self._do(row, rider, rider.wake(now_s), now_s)

    def _do(self, row: int, rider: RiderLike, actions: list[act.RiderAction], now_s: float) -> None:
        for action in actions:
            match action:
                case act.AskQuote():
                    self._fare_cents[row], surge_multiplier = self._market.quote(row, now_s)
                    rider.quoted(surge_multiplier, now_s)
                case act.RequestRide():
                    self._request(row, rider, now_s)
                case act.LeaveForPrice():
                    self.left_for_price += 1
                    self._forget(row)
                case act.CancelRide():
                    self._cancel(action, now_s)
        self._plan(row, rider)

    def _request(self, row: int, rider: RiderLike, now_s: float) -> None:
        ride_id = ride_id_of(row)
        self._row_of[ride_id] = row
        pickup, dropoff = self._places[row]
        command = cmd.RequestRide(
            ride_id=ride_id,
            region_id=self._region_id,
            rider_id=f"p{row:07d}",
            quote_id=f"q{row:07d}",
            pickup=pickup,
            dropoff=dropoff,
            seats=self._party_size[row],
            fare_cents=self._fare_cents.pop(row),
            currency=self._market.currency,
        )
        self._virtual_dispatch.handle(command, now_s)
        rider.requested(ride_id, now_s)

    def _cancel(self, action: act.CancelRide, now_s: float) -> None:
        rider_id = f"p{self._row_of[action.ride_id]:07d}"
        try:
            self._virtual_dispatch.handle(cmd.CancelRide(action.ride_id, Party.RIDER, rider_id, action.reason), now_s)
        except CommandRefused:
            return  # too late: already picked up

    def _plan(self, row: int, rider: RiderLike) -> None:
        wake_s = rider.wake_s
        if wake_s < math.inf and row in self._riders and self._planned_s.get(row) != wake_s:
            self._planned_s[row] = wake_s
            self._agenda.at(wake_s, self._wake, row)

    # -- events for riders --------------------------------------------------------------------------------------------

    def _on_assigned(self, event: ev.RideEvent, now_s: float) -> None:
        assert isinstance(event, ev.OfferAccepted)
        row = self._row_of[event.ride_id]
        self._riders[row].assigned(event.pickup_eta_s, now_s)
        self._plan(row, self._riders[row])

    def _on_unassigned(self, event: ev.RideEvent, now_s: float) -> None:
        row = self._row_of[event.ride_id]
        self._riders[row].unassigned(now_s)
        self._plan(row, self._riders[row])

    def _on_arrival(self, event: ev.RideEvent, now_s: float) -> None:
        self._riders[self._row_of[event.ride_id]].driver_arrived()

    def _on_pickup(self, event: ev.RideEvent, now_s: float) -> None:
        row = self._row_of[event.ride_id]
        self._riders[row].picked_up()
        self._planned_s.pop(row, None)

    def _on_end(self, event: ev.RideEvent, now_s: float) -> None:
        row = self._row_of.pop(event.ride_id)
        self._riders[row].gone()
        self._forget(row)

    def _forget(self, row: int) -> None:
        del self._riders[row]
        self._planned_s.pop(row, None)
        self.gone += 1


def _road_places(requests: PlacedRequests) -> list[tuple[Place, Place]]:
    """Pickup and dropoff of every row, in the type that commands take."""
    asked = requests.asked
    pickups = map(Place, *asked.pickup_deg.T.tolist(), requests.pickup_node.tolist())
    dropoffs = map(Place, *asked.dropoff_deg.T.tolist(), requests.dropoff_node.tolist())
    return list(zip(pickups, dropoffs, strict=True))
