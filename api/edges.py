"""The dependencies of the routes: one record per kind of route, so that a route reaches only what it needs.

The composition root builds the records when the app starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar

from fastapi import Depends
from starlette.requests import HTTPConnection
from starlette.types import Scope

from api.abuse.request_limits import RequestLimits
from api.auth.revocation_watch import RevocationWatch
from api.auth.sign_in import SignIn
from api.auth.tokens import Tokens
from api.failures import Outages
from api.inboxes import InboxReads
from api.position_watch import PositionWatch
from api.supply import RecentSupply
from dispatch.matching.calibration import AcceptanceFigures
from dispatch.matching.reasons import RideTrace
from dispatch.model import Intervened, Ride
from dispatch.ports import DriverList, RoundReport
from dispatch.service.rides import RideService
from geo.city import City, Region
from geo.roads.graph import RoadGraph
from kernel.idempotency import IdempotencyKey
from location_ingest.service import PingGateway
from pricing.model.advice import DriverAdvice
from pricing.ports import PriceRecord, SurgePrices
from pricing.rules.price_changes import PriceChange
from pricing.service.tariff_watch import TariffWatch
from traffic.model import TrafficFigures
from workflows.earnings import EarningsWorkflow
from workflows.end_ride import EndRideWorkflow
from workflows.finish_ride import FinishRideWorkflow
from workflows.intervene import InterveneWorkflow
from workflows.limits import Flag, RiderLimits
from workflows.offering import Offering
from workflows.quote import QuoteWorkflow
from workflows.request_ride import RequestRideWorkflow

T = TypeVar("T")

#: City time in seconds.
Now = Callable[[], float]


class AdviceReads(Protocol):
    """The advice to idle drivers that stands."""

    async def planned_ms(self) -> int | None:
        """When the last plan was made, city time in milliseconds; None if there was none."""
        ...

    async def read(self) -> dict[str, DriverAdvice]:
        """All of it, expired advice too."""
        ...

    async def find(self, driver_ids: Iterable[str]) -> dict[str, DriverAdvice]:
        """The advice of those of these drivers who have any."""
        ...


class RideReads(Protocol):
    """Rides of any rider as last committed, for operators."""

    async def find_ride(self, ride_id: str) -> Ride | None:
        """The ride."""
        ...

    async def open_rides(self, region_id: str) -> list[Ride]:
        """Rides without a driver, the oldest request first."""
        ...

    async def live_rides(self, region_id: str) -> list[Ride]:
        """Rides bound to a driver."""
        ...

    async def outbox_progress(self) -> tuple[int, int]:
        """How many events were ever committed, and how many of them are published."""
        ...


class KeptAnswers(Protocol):
    """Answers to requests that came with an idempotency key."""

    async def find(self, idempotency: IdempotencyKey) -> str | None:
        """The answer given to this key before, None if it is new. Raises IdempotencyConflict."""
        ...

    async def keep(self, idempotency: IdempotencyKey, answer: str) -> str:
        """Keep the answer if the key is new; return the one that stands. Raises IdempotencyConflict."""
        ...


class Aged(NamedTuple, Generic[T]):
    """What was read of history, and how old it may be."""

    value: T
    #: Wall seconds; 0 for what is current.
    age_s: float


@dataclass(frozen=True, slots=True)
class TrafficInForce:
    """Learned travel times, as this API uses them and as they are made."""

    #: "learned", "profile" or "free_flow": which travel times quotes are given by.
    source: str
    figures: TrafficFigures


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """What the operator's page shows beside the map."""

    rounds: Sequence[RoundReport]
    rides_by_state: Mapping[str, int]
    totals: Mapping[str, int]
    #: Seconds from request to pickup of the last rides, at most a few hundred.
    pickup_waits_s: Sequence[float]
    #: Wall seconds that the rides' figures may be old.
    age_s: float = 0.0


ReadFigures = Callable[[], Awaitable[LiveFigures]]


@dataclass(frozen=True, slots=True)
class AccessEdges:
    """For every route and stream: who asks, what was answered before, and which errors say that a server is away."""

    tokens: Tokens
    #: None where no issuer is trusted.
    sign_in: SignIn | None
    revocations: RevocationWatch
    outages: Outages
    answers: KeptAnswers
    limits: RequestLimits


@dataclass(frozen=True, slots=True)
class RiderEdges:
    """For the routes of riders."""

    quotes: QuoteWorkflow
    requests: RequestRideWorkflow
    rides: RideService
    offering: Offering
    limits: RiderLimits
    now: Now


@dataclass(frozen=True, slots=True)
class NearbyEdges:
    """For the cars on a rider's map."""

    region: Region
    #: The region's roads with the travel times that count now.
    roads: Callable[[], RoadGraph]
    supply: RecentSupply
    #: The longest drive to a pickup for which dispatch asks a driver.
    pickup_eta_s_max: float


@dataclass(frozen=True, slots=True)
class DriverEdges:
    """For the routes of drivers."""

    rides: RideService
    finishing: FinishRideWorkflow
    ending: EndRideWorkflow
    earnings: EarningsWorkflow
    advice: AdviceReads
    now: Now


@dataclass(frozen=True, slots=True)
class FeedEdges:
    """For what flows: drivers' pings in, the events of riders and drivers and advice to drivers out."""

    gateway: PingGateway
    positions: PositionWatch
    inboxes: InboxReads
    advice: AdviceReads
    now: Now


@dataclass(frozen=True, slots=True)
class PriceEdges:
    """For the prices that everybody may read."""

    region: Region
    prices: SurgePrices
    tariff: TariffWatch
    now: Now


@dataclass(frozen=True, slots=True)
class PriceControlEdges:
    """For the operators' record of prices and their brake."""

    region: Region
    prices: SurgePrices
    record: PriceRecord
    #: A cell's changes since a time, city seconds, the newest first, at most so many.
    history: Callable[[int, float, int], Awaitable[Aged[list[PriceChange]]]]
    now: Now


@dataclass(frozen=True, slots=True)
class DriverControlEdges:
    """For the operators' list of who may drive."""

    drivers: DriverList
    rides: RideService
    now: Now


@dataclass(frozen=True, slots=True)
class OperatorEdges:
    """For what operators read of the city and of matching."""

    city: City
    #: City seconds in a second.
    speed: float
    tariff: TariffWatch
    rides: RideReads
    figures: ReadFigures
    #: The last matching rounds of a ride, the newest first.
    traces: Callable[[str], Awaitable[list[RideTrace]]]
    #: Accuracy of the acceptance forecasts; None if the policy makes none.
    acceptance: Callable[[], Awaitable[AcceptanceFigures | None]]
    #: Which travel times count, and how they are learned.
    traffic: Callable[[], Awaitable[TrafficInForce]]
    #: Who does far more than people do, the newest first.
    flags: Callable[[], Awaitable[list[Flag]]]
    now: Now


@dataclass(frozen=True, slots=True)
class RideControlEdges:
    """For what operators do with rides."""

    rides: RideService
    intervening: InterveneWorkflow
    #: The newest interventions, in one ride or in all of the region, at most so many.
    interventions: Callable[[str | None, int], Awaitable[Aged[list[Intervened]]]]


@dataclass(frozen=True, slots=True)
class PictureEdges:
    """For the operators' live picture."""

    city: City
    supply: RecentSupply
    #: A driver whose last position is older is shown as stale.
    stale_after_s: float
    rides: RideReads
    prices: SurgePrices
    figures: ReadFigures
    outages: Outages
    now: Now


@dataclass(frozen=True, slots=True)
class HealthEdges:
    """For the checks of health."""

    #: Name of a part -> raises, with a message that says what to do, if it does not answer.
    checks: Mapping[str, Callable[[], Awaitable[Any]]]
    #: Whether the region's rounds are run, in words; "ok" if they are.
    matching: Callable[[], Awaitable[str]]
    #: Name of a part -> says "ok" or what is to be looked at, though requests can be served.
    notes: Mapping[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edges:
    """All of them, for the app to hand out."""

    access: AccessEdges
    rider: RiderEdges
    nearby: NearbyEdges
    driver: DriverEdges
    feeds: FeedEdges
    prices: PriceEdges
    price_control: PriceControlEdges
    operator: OperatorEdges
    driver_control: DriverControlEdges
    ride_control: RideControlEdges
    picture: PictureEdges
    health: HealthEdges
    #: Runs until it is cancelled and gives what it is called with the edges anew, each time the map has changed.
    follow: Callable[[Callable[[Edges], None]], Awaitable[None]] | None = None


def edges_of(scope: Scope) -> Edges:
    """Return the edges of the app that serves a request or socket: for middleware, routes depend on what they need."""
    edges: Edges = scope["app"].state.edges
    return edges


def _given(choose: Callable[[Edges], T]) -> Any:
    # A coroutine although it waits for nothing: FastAPI sends plain functions to a thread each.
    async def chosen(connection: HTTPConnection) -> T:
        return choose(edges_of(connection.scope))

    return Depends(chosen)


AccessDep = Annotated[AccessEdges, _given(lambda edges: edges.access)]
RiderEdgesDep = Annotated[RiderEdges, _given(lambda edges: edges.rider)]
NearbyEdgesDep = Annotated[NearbyEdges, _given(lambda edges: edges.nearby)]
DriverEdgesDep = Annotated[DriverEdges, _given(lambda edges: edges.driver)]
FeedEdgesDep = Annotated[FeedEdges, _given(lambda edges: edges.feeds)]
PriceEdgesDep = Annotated[PriceEdges, _given(lambda edges: edges.prices)]
PriceControlEdgesDep = Annotated[PriceControlEdges, _given(lambda edges: edges.price_control)]
OperatorEdgesDep = Annotated[OperatorEdges, _given(lambda edges: edges.operator)]
DriverControlEdgesDep = Annotated[DriverControlEdges, _given(lambda edges: edges.driver_control)]
RideControlEdgesDep = Annotated[RideControlEdges, _given(lambda edges: edges.ride_control)]
HealthEdgesDep = Annotated[HealthEdges, _given(lambda edges: edges.health)]
#: The rides, for routes that riders and drivers share.
RidesDep = Annotated[RideService, _given(lambda edges: edges.rider.rides)]
