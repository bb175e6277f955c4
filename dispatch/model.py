"""The nouns of dispatch: rides, offers, shifts, the supply of a round and the parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dispatch.weights import ScoreWeights
from geo.roads.road_places import RoadPlaces
from kernel.points import Place
from kernel.supply import STALE_AFTER_S


class RideState(StrEnum):
    """Where a ride stands; `rules.lifecycle.MOVES` says what leads where."""

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ASSIGNED = "ASSIGNED"
    ARRIVED = "ARRIVED"
    ON_TRIP = "ON_TRIP"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


#: Waiting for a driver: what a matching round looks at.
OPEN = frozenset({RideState.REQUESTED, RideState.OFFERED})
#: A driver's next ride, of which there is at most one: on the way to its pickup, or waiting there.
NEXT = frozenset({RideState.ASSIGNED, RideState.ARRIVED})
#: Bound to a driver: at most one next ride and at most one that is aboard (`ON_TRIP`).
WITH_DRIVER = NEXT | {RideState.ON_TRIP}
#: Final.
TERMINAL = frozenset({RideState.COMPLETED, RideState.CANCELLED, RideState.EXPIRED})


class OfferState(StrEnum):
    """What became of an offer."""

    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


class Party(StrEnum):
    """Who did it."""

    RIDER = "rider"
    DRIVER = "driver"
    SYSTEM = "system"
    OPERATOR = "operator"


class ShiftStatus(StrEnum):
    """Whether a driver wants offers."""

    ONLINE = "online"
    OFFLINE = "offline"


#: What a rider may give a trip.
STARS = range(1, 6)


@dataclass(frozen=True, slots=True)
class Offer:
    """A request shown to one driver, under the lease that `token` names."""

    offer_id: str
    ride_id: str
    driver_id: str
    token: int
    sent_s: float
    expires_s: float
    pickup_eta_s: float
    state: OfferState = OfferState.SENT


@dataclass(frozen=True, slots=True)
class AgreedTrip:
    """What was agreed with the quote: the price, where to, and how the price came about."""

    fare_cents: int
    dropoff: Place
    receipt: Mapping[str, object] | None = None


@dataclass(frozen=True)  # no slots: a dict is copied in one go, see `dispatch.rules.lifecycle`
class Ride:
    """The whole of a ride, from the request to its terminal state."""

    ride_id: str
    region_id: str
    rider_id: str
    quote_id: str
    pickup: Place
    dropoff: Place
    seats: int
    fare_cents: int
    currency: str
    requested_s: float
    state: RideState = RideState.REQUESTED
    #: Number of the last event: 1 for the request itself, without gaps.
    sequence: int = 1
    #: The offer that stands, or stood last.
    offer: Offer | None = None
    #: Newest fencing token seen; an offer with one that is not greater is refused.
    token: int = 0
    driver_id: str | None = None
    #: Drivers who said no, kept silent or gave the ride back: not asked again.
    refused_by: tuple[str, ...] = ()
    #: Those of them who had taken the ride.
    given_back_by: tuple[str, ...] = ()
    assigned_s: float | None = None
    arrived_s: float | None = None
    picked_up_s: float | None = None
    dropped_off_s: float | None = None
    ended_s: float | None = None
    cancelled_by: Party | None = None
    cancel_reason: str | None = None
    #: Whether it ended because the rider did not come: `fare_cents` is then the fee for that.
    is_no_show: bool = False
    #: Who ended the trip or the waiting at the pickup if no dropoff was reported, and why.
    ended_by: Party | None = None
    end_reason: str | None = None
    #: How the fare came about, as pricing wrote it: kept and handed on; only the quoted trip time is read here.
    receipt: Mapping[str, object] | None = None
    #: What the rider gave it, None as long as nothing was given.
    stars: int | None = None
    #: The map whose numbers `pickup` and `dropoff` hold (`geo.places`); empty where nobody knows.
    map_id: str = ""
    #: The map on which the ride's points were on no road, as its rider was told; None if there was none.
    set_aside_on: str | None = None
    #: H3 resolution of the cells whose centres `pickup` and `dropoff` are, once the exact places are no longer kept.
    coarse_resolution: int | None = None
    #: What was agreed, once the ending or a correction changed it; None while it stands.
    agreed: AgreedTrip | None = None

    @property
    def owed_cents(self) -> int | None:
        """What the rider owes: the fare of a trip, the fee of a no-show, else nothing; None before the end."""
        if self.state not in TERMINAL:
            return None
        return self.fare_cents if self.state is RideState.COMPLETED or self.is_no_show else 0


@dataclass(frozen=True, slots=True)
class Intervention:
    """Who changes a ride that is not theirs, what they do and why."""

    #: "operator:<id>", or "system" for a deadline.
    by_whom: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class Intervened:
    """An intervention as it is kept: what it did to which ride, and when."""

    ride_id: str
    #: Number of the last of the ride's events that it led to.
    sequence: int
    at_s: float
    intervention: Intervention


@dataclass(frozen=True, slots=True)
class Shift:
    """A driver's wish to work."""

    driver_id: str
    status: ShiftStatus
    seats: int
    changed_s: float
    #: All stars that the driver was ever given, and how often, as the store knows it.
    stars_sum: int = 0
    stars_count: int = 0


@dataclass(frozen=True, slots=True)
class SupplySnapshot:
    """Who may be asked in a region at one moment; all arrays have shape (n,), sorted by driver_id."""

    now_s: float
    driver_id: tuple[str, ...]
    #: Where the driver is, or will be when free: the nearer end of the road.
    node: NDArray[np.int64]
    seats: NDArray[np.int64]
    #: Since when each waits for work, city seconds; of those with a rider aboard the dropoff; NaN where nobody knows.
    idle_since_s: NDArray[np.float64] | None = None
    #: Mean rating in stars, NaN without any, and number of ratings; None where drivers are not rated.
    rating: NDArray[np.float64] | None = None
    rating_count: NDArray[np.int64] | None = None
    #: Seconds until the driver sets out from `node`: 0 for the idle, until the dropoff for those with a rider aboard.
    free_in_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    #: How many times the road graph's time ways take at this moment.
    pace: float = 1.0
    #: Where on the road that is, (n, 2) each, as `geo.roads.road_places.RoadPlaces` has them; None: at the nodes.
    edge: NDArray[np.int64] | None = None
    share: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if len(self.free_in_s) == 0:
            object.__setattr__(self, "free_in_s", np.zeros(len(self.driver_id)))
        elif len(self.free_in_s) != len(self.driver_id):
            raise ValueError(f"free_in_s must have {len(self.driver_id)} values, not {len(self.free_in_s)}")

    def __len__(self) -> int:
        return len(self.driver_id)

    @property
    def places(self) -> RoadPlaces:
        """Where on roads the drivers are, or will be when free."""
        if self.edge is None or self.share is None:
            return RoadPlaces.at_nodes(self.node)
        return RoadPlaces(self.node, self.edge, self.share)

    @property
    def n_idle(self) -> int:
        """How many drivers are idle; those with a rider aboard are not."""
        return int(np.count_nonzero(self.free_in_s <= 0.0))


@dataclass(frozen=True, slots=True)
class LimitParams:
    """What one rider may have or do at once. All durations are city seconds; 0 for no limit."""

    SECTION: ClassVar[str] = "limits"

    #: Rides of a rider that have not ended.
    open_rides_max: int = 1
    #: Quotes of the last five minutes that a rider has not answered with a request.
    unanswered_quotes_max: int = 60
    #: Rides that a rider cancelled within an hour before further requests are refused.
    cancellations_per_hour_max: int = 10
    #: Riders who asked for quotes within ten metres and five minutes, and had time to decide, before operators are told
    #: of a swarm; they are told only if fewer than the share took their quote: a crowd leaves a stadium by one gate.
    swarm_riders: int = 20
    swarm_requests_share_max: float = 0.2
    #: How long a rider may think about a quote.
    swarm_decision_s: float = 60.0
    #: Idle drivers within ten metres who never took an offer before operators are told of a swarm, each of whom let at
    #: least so many offers pass: at a taxi rank drivers were not asked yet, or took some.
    swarm_drivers: int = 8
    swarm_offers_min: int = 3

    def __post_init__(self) -> None:
        """Raise ValueError for a limit below 0, or a share above 1."""
        for field_ in fields(self):
            if not 0 <= getattr(self, field_.name) < math.inf:
                raise ValueError(f"{field_.name} must be 0 or more, not {getattr(self, field_.name)}")
        if self.swarm_requests_share_max > 1:
            raise ValueError(f"swarm_requests_share_max must be from 0 to 1, not {self.swarm_requests_share_max}")
        if self.swarm_offers_min < 1:
            raise ValueError(f"swarm_offers_min must be 1 or more, not {self.swarm_offers_min}")


@dataclass(frozen=True, slots=True)
class DispatchParams:
    """How a region is dispatched. All durations are city seconds."""

    SECTION: ClassVar[str] = "dispatch"

    #: Requests gather this long before a round; within the 0.5 to 2 s for which
    #: Yang et al. 2020 (doi:10.1016/j.trb.2020.01.008) report most of the gain.
    batch_window_s: float = 2.0
    #: The shortest window, for while the market is so thick that waiting brings nothing; 0: windows are all the same.
    batch_window_s_min: float = 0.0
    #: A driver has this long to answer: long enough to read, short enough that silence costs the rider little.
    offer_ttl_s: float = 15.0
    #: A request without a driver after this long expires.
    max_wait_s: float = 600.0
    #: Farther drivers are not worth a rider's wait.
    pickup_eta_s_max: float = 900.0
    #: While few drivers are idle, pickups are capped lower, though not below this; 0: they are not.
    pickup_cap_s_min: float = 0.0
    #: Drivers costed for each request: 20 loses 1 to 3 % of the optimum where supply equals demand, else nothing.
    candidates_per_request: int = 20
    #: A position older than this says nothing about where the driver is. Surge and the operators' picture use it too.
    stale_after_s: float = STALE_AFTER_S
    #: A driver on the way to a pickup who is silent for longer than this is given up; longer than any tunnel takes.
    silent_after_s: float = 90.0
    #: Nor one who came no nearer for so long: longer than the lights and the queues of a bad street.
    stalled_after_s: float = 240.0
    #: A drive to the pickup or a trip is overdue after this many times its quoted time and the slack; then it is ended.
    #: 0: no deadlines; a ride whose driver's phone dies for good then never ends.
    overdue_factor: float = 3.0
    #: Time on top of that: a break, a jam, a stop on the way.
    overdue_slack_s: float = 1800.0
    #: A driver at the pickup who says nothing for so long is gone, and so is the rider: the ride ends as a no-show.
    pickup_overdue_s: float = 1800.0
    #: Who drops off within so long may be asked for the ride after; 0: nobody before the dropoff.
    chain_within_s: float = 120.0
    #: A rider may rate a trip for so long after its end: three days, while it is remembered.
    rating_within_s: float = 259_200.0
    #: Who chooses the pairs: see `dispatch.matching.registry.make_policy`.
    policy: str = "optimal"
    #: The file of position values, in the city's folder, see `hexhail city learn-values`; empty for none.
    values: str = ""
    #: What the parts of a pair's score weigh.
    score: ScoreWeights = field(default_factory=ScoreWeights)

    def __post_init__(self) -> None:
        for name in (
            "batch_window_s",
            "offer_ttl_s",
            "max_wait_s",
            "pickup_eta_s_max",
            "stale_after_s",
            "silent_after_s",
            "stalled_after_s",
            "pickup_overdue_s",
            "rating_within_s",
        ):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be a positive number of seconds, not {value}")
        if not (self.overdue_factor == 0 or 1 <= self.overdue_factor < float("inf")):
            raise ValueError(f"overdue_factor must be 0, or a number from 1, not {self.overdue_factor}")
        for name in ("batch_window_s_min", "pickup_cap_s_min", "overdue_slack_s", "chain_within_s"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a number of seconds from 0, not {value}")
        if self.candidates_per_request < 1:
            raise ValueError(f"candidates_per_request must be at least 1, not {self.candidates_per_request}")
