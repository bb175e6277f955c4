"""Turns the log of events into training data of the acceptance model: offers and their answers.

The model learns from events alone, in their order, so that the same log leaves the same model: live, after a restart
and in a simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dispatch import events as ev
from dispatch.matching.acceptance import AcceptanceModel, AcceptanceParams, Forecast, ModelState, OfferColumns
from dispatch.matching.trips import TripTimes
from geo.roads.graph import RoadGraph

#: Raised when the meaning of the state changes; an older one is then refused rather than misread.
STATE_VERSION = 1
#: The events that answer an offer, and whether each is an acceptance.
_ANSWERS: dict[type[ev.RideEvent], bool] = {ev.OfferAccepted: True, ev.OfferDeclined: False, ev.OfferExpired: False}
_ENDS = (ev.RiderPickedUp, ev.RiderDidNotShow, ev.RideCancelled, ev.RideExpired)
#: The events that a learner observes.
OBSERVED_EVENTS: tuple[type[ev.RideEvent], ...] = (
    ev.OfferSent,
    *_ANSWERS,
    ev.OfferWithdrawn,
    ev.AssignmentCancelled,
    *_ENDS,
)


@dataclass(frozen=True, slots=True)
class AnswersState:
    """The state of a learner, and the position in the log up to which it has learned."""

    version: int
    position: int
    model: ModelState
    #: Forecasts by offer that is not answered yet, and refusals by ride that has no driver yet.
    pending: Mapping[str, Forecast] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)


class Answers:
    """Observes events, keeps the features of each offer until its answer comes, and trains the model on both."""

    def __init__(
        self, graph: RoadGraph, params: AcceptanceParams | None = None, state: AnswersState | None = None
    ) -> None:
        """Raises ValueError for the state of another version."""
        if state is not None and state.version != STATE_VERSION:
            raise ValueError(f"the state has version {state.version}, this program reads {STATE_VERSION}")
        self.model = AcceptanceModel(params, None if state is None else state.model)
        #: The position in the log up to which everything was observed.
        self.position = 0 if state is None else state.position
        self._trips = TripTimes(graph)
        self._pending: dict[str, Forecast] = {} if state is None else dict(state.pending)
        self._refusals: dict[str, int] = {} if state is None else dict(state.refusals)

    def observe(self, event: ev.RideEvent) -> None:
        """Learn from an event; events of other kinds change nothing."""
        match event:
            case ev.OfferSent():
                self._pending[event.offer_id] = self.model.forecast(self._columns(event))
            case ev.OfferAccepted() | ev.OfferDeclined() | ev.OfferExpired():
                self._learn(event.offer_id, event)
            case ev.OfferWithdrawn():
                self._pending.pop(event.offer_id, None)
            case ev.AssignmentCancelled():
                self._count_refusal(event.ride_id)
        if isinstance(event, _ENDS):
            self._refusals.pop(event.ride_id, None)

    def state(self) -> AnswersState:
        """The whole state."""
        return AnswersState(STATE_VERSION, self.position, self.model.state(), dict(self._pending), dict(self._refusals))

    def _learn(self, offer_id: str, event: ev.RideEvent) -> None:
        accepted = _ANSWERS[type(event)]
        if not accepted:
            self._count_refusal(event.ride_id)
        forecast = self._pending.pop(offer_id, None)
        if forecast is not None:  # else it was sent before the first event that was read
            self.model.observe(forecast, accepted=accepted, at_s=event.at_s)

    def _count_refusal(self, ride_id: str) -> None:
        self._refusals[ride_id] = self._refusals.get(ride_id, 0) + 1

    def _columns(self, event: ev.OfferSent) -> OfferColumns:
        return OfferColumns(
            driver_id=(event.driver_id,),
            pickup_eta_s=np.array([event.pickup_eta_s]),
            refusals=np.array([float(self._refusals.get(event.ride_id, 0))]),
            trip_s=self._trips.of([event.pickup], [event.dropoff]),
            fare_cents=np.array([float(event.fare_cents)]),
            at_s=event.at_s,
        )
