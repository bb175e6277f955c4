"""What dispatch needs from the world, named for the need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dispatch.events import MatchFound, RideEvent
from dispatch.matching.answers import AnswersState
from dispatch.matching.calibration import AcceptanceFigures
from dispatch.matching.reasons import RideTrace
from dispatch.model import DispatchParams, Intervened, Intervention, Ride, Shift, SupplySnapshot
from kernel.idempotency import IdempotencyKey
from kernel.points import Place


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rides a decision must see: the one named, the one of the offer, the driver's and the rider's live ones."""

    ride_id: str | None = None
    offer_id: str | None = None
    driver_id: str | None = None
    #: Who requests: two requests of one rider are decided one after the other.
    rider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a decision changes: the events of one ride, and the ride after them."""

    events: Sequence[RideEvent]
    ride: Ride
    #: Kept in the same transaction, if there are events.
    intervention: Intervention | None = None


#: Called inside the transaction with the rides of the scope. It may be called again if the transaction has to be.
Decide = Callable[[Sequence[Ride]], Decision]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The ride after a command; `is_replay` if the answer was given before."""

    ride: Ride
    events: Sequence[RideEvent]
    is_replay: bool = False


class FreeDriver(NamedTuple):
    """A driver on shift who has nothing to do; a tuple, because a city has thousands of them each round."""

    seats: int
    #: The later of going on shift and the end of the last ride: dropped off, cancelled or given back.
    idle_since_s: float
    #: All stars ever given, and how often.
    stars_sum: int = 0
    stars_count: int = 0
    #: Offers that the driver ever took, and those answered: taken, declined or run out.
    offers_accepted: int = 0
    offers_answered: int = 0


class ListedDriver(NamedTuple):
    """A driver on the list of those who may drive: since when, and by which operator."""

    driver_id: str
    added_s: float
    operator: str


class MayDrive(Protocol):
    """Says who may drive in the region that is served: a list of operators, or a service of identities."""

    async def may_drive(self, driver_id: str) -> bool:
        """Whether the driver may start a shift."""
        ...


class DriverList(MayDrive, Protocol):
    """The list that operators hold. Until it is begun everybody may drive."""

    async def end(self) -> None:
        """Forget the list: everybody may drive."""
        ...

    async def add(self, driver_ids: Sequence[str], operator: str, at_s: float) -> None:
        """Put drivers on the list, which begins with the first; those who are on it stay as they are."""
        ...

    async def remove(self, driver_id: str) -> None:
        """Take a driver off the list; the list stays, even if nobody is left on it."""
        ...

    async def is_begun(self) -> bool:
        """Whether there is a list."""
        ...

    async def read(self, after: str, limit: int) -> list[ListedDriver]:
        """The drivers on the list by id, those after the one named."""
        ...


@dataclass(frozen=True, slots=True)
class Carrying:
    """A driver on shift with a rider aboard, and nothing to do after that."""

    driver_id: str
    seats: int
    dropoff: Place
    #: See `Ride.map_id`.
    map_id: str = ""
    stars_sum: int = 0
    stars_count: int = 0


class RideStore(Protocol):
    """Rides, offers and shifts, kept so that an acknowledged change survives the death of any process."""

    async def transact(self, scope: Scope, decide: Decide, idempotency: IdempotencyKey | None = None) -> Outcome:
        """Read the scope, decide, and write rides and events in one transaction; return once it is durable.

        Raises what `decide` raises (nothing is written then), DriverBusy where an index refuses a second live offer,
        next ride or ride aboard, OffShift or StaleToken for an offer decided on an older state of its driver,
        OffShift for an acceptance by a driver who does not work any more, QuoteUsed, or IdempotencyConflict.
        """
        ...

    async def replay(self, idempotency: IdempotencyKey) -> Outcome | None:
        """The answer given to this key before, None if it is new. Raises IdempotencyConflict."""
        ...

    async def find_ride(self, ride_id: str) -> Ride | None:
        """The ride as last committed."""
        ...

    async def open_rides(self, region_id: str) -> list[Ride]:
        """Rides without a driver, the oldest request first."""
        ...

    async def live_rides(self, region_id: str) -> list[Ride]:
        """Rides bound to a driver."""
        ...

    async def free_drivers(self) -> dict[str, FreeDriver]:
        """Drivers on shift without a live ride or offer."""
        ...

    async def carrying_drivers(self, region_id: str) -> list[Carrying]:
        """Drivers on shift with a ride of the region aboard, without a live offer or a next ride; sorted by id."""
        ...

    async def is_on_shift(self, driver_id: str) -> bool:
        """Whether the driver works now."""
        ...

    async def set_shift(self, shift: Shift) -> Shift:
        """Put a driver on or off shift; returns it with the stars that the store keeps.

        Raises DriverBusy for going off shift with a live ride.
        """
        ...

    async def standing_offers(self, driver_id: str) -> list[str]:
        """Ids of the offers that stand at a driver."""
        ...

    async def interventions(self, region_id: str, ride_id: str | None, limit: int) -> list[Intervened]:
        """The newest interventions in a region, or in one of its rides; the newest first."""
        ...

    async def outbox_progress(self) -> tuple[int, int]:
        """How many messages of all streams were ever committed, and how many of them are published."""
        ...

    async def newest_token(self, region_id: str) -> int:
        """The greatest fencing token ever used, 0 if none."""
        ...


class EventTail(Protocol):
    """Committed events, read again and again from where one was."""

    async def outbox_progress(self) -> tuple[int, int]:
        """How many messages of all streams were ever committed, and how many of them are published."""
        ...

    async def events_since(self, region_id: str, position: int, limit: int) -> list[tuple[int, RideEvent | None]]:
        """The next events of a region after a position, in order, each with its own; None where it cannot be read."""
        ...


class AnswersMemory(Protocol):
    """What was learned of drivers' answers, beyond the life of a process."""

    async def load(self) -> AnswersState | None:
        """What was kept last, None if nothing. Raises ValueError if it cannot be read."""
        ...

    async def keep(self, state: AnswersState, figures: AcceptanceFigures) -> None:
        """Replace what was kept, and the figures that operators see."""
        ...


@dataclass(frozen=True, slots=True)
class Positions:
    """Where drivers were last believed to be; arrays of shape (n,)."""

    driver_id: tuple[str, ...]
    lat_deg: NDArray[np.float64]
    lng_deg: NDArray[np.float64]
    heading_deg: NDArray[np.float64]
    t_s: NDArray[np.float64]


class Supply(Protocol):
    """Who is where."""

    async def positions(self) -> Positions:
        """All drivers in the region's cells, sorted by id."""
        ...


class Leases(Protocol):
    """Holding a driver and a request for one offer."""

    async def take(self, pairs: Sequence[tuple[str, str]], now_s: float, ttl_s: float) -> list[int | None]:
        """For each (driver_id, ride_id) a growing token, or None if either is held."""
        ...

    async def release(self, driver_id: str, ride_id: str, token: int) -> None:
        """Give the pair free if the token is still the one that holds it."""
        ...

    async def restore(self, newest_token: int) -> None:
        """Make sure that the next token is greater than this one."""
        ...


class Ownership(Protocol):
    """Which process runs a region's rounds."""

    async def owns(self, region_id: str) -> bool:
        """Whether it is this one, as far as it knows: one that was paused may be wrong for a moment."""
        ...


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One matching round in figures."""

    at_s: float
    n_waiting: int
    n_free: int
    n_matches: int
    n_offers: int
    n_expired: int
    wall_ms: float


class TraceLog(Protocol):
    """The traces of the last rounds of each ride, for operators."""

    async def write(self, traces: Sequence[RideTrace]) -> None:
        """Keep each among the last ones of its ride."""
        ...


class RoundLog(Protocol):
    """Figures of the last rounds, for operators."""

    async def write(self, report: RoundReport) -> None:
        """Keep the report among the last ones."""
        ...


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """All that a matching round was decided on, and what it decided."""

    region_id: str
    params: DispatchParams
    #: Which rides waited, each at which of its events: (ride_id, sequence).
    waiting: tuple[tuple[str, int], ...]
    supply: SupplySnapshot
    matches: tuple[MatchFound, ...]
    #: Seconds (m,) of each edge under the traffic of the round; None if they were those of the city's folder.
    travel_time_s: NDArray[np.float64] | None = None
    #: Of the map that the nodes of the supply are numbers of; empty in rounds recorded before maps were named.
    map_id: str = ""


class RoundRecords(Protocol):
    """Rounds kept so that they can be decided again."""

    async def write(self, record: RoundRecord) -> None:
        """Append the round."""
        ...
