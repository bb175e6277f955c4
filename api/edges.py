"""What the routes stand on: made by the composition root, found on the app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.auth.tokens import Principal, Role, TokenInvalid, Tokens
from api.failures import Outages
from api.inboxes import InboxReads
from api.problems import ApiProblem
from api.supply import RecentSupply
from dispatch.matching.calibration import AcceptanceFigures
from dispatch.matching.reasons import RideTrace
from dispatch.model import DispatchParams
from dispatch.ports import RideStore, RoundReport
from dispatch.service.rides import RideService
from geo.city import City
from location_ingest.service import PingGateway
from pricing.model.advice import DriverAdvice
from pricing.model.quotes import Quote
from pricing.ports import PriceRecord, SurgePrices
from pricing.service.fares import FareService
from pricing.service.quotes import QuoteService
from pricing.service.tariff_watch import TariffWatch


class AdviceReads(Protocol):
    """The advice to idle drivers that stands."""

    async def planned_ms(self) -> int | None:
        """When the last plan was made, city time in milliseconds; None if there was none."""

    async def read(self) -> dict[str, DriverAdvice]:
        """All of it, expired advice too."""

    async def find(self, driver_ids: Iterable[str]) -> dict[str, DriverAdvice]:
        """The advice of those of these drivers who have any."""


class QuoteSigning(Protocol):
    """Quotes as text that nobody can change."""

    def sign(self, quote: Quote) -> str:
        """The quote as text."""

    def verify(self, signed: str, now_s: float, *, rider_id: str) -> Quote:
        """The quote in the text, if it is ours, still valid and this rider's. Raises pricing.errors.QuoteUnusable."""


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """What the operator's page shows beside the map."""

    rounds: list[RoundReport]
    rides_by_state: Mapping[str, int]
    totals: Mapping[str, int]
    #: Seconds from request to pickup of the last rides, at most a few hundred.
    pickup_waits_s: list[float]


@dataclass(frozen=True)
class Edges:
    """Everything that a request may need."""

    city: City
    tokens: Tokens
    now: Callable[[], float]
    speed: float
    rides: RideService
    store: RideStore
    quotes: QuoteService
    fares: FareService
    tariff: TariffWatch
    quote_signer: QuoteSigning
    prices: SurgePrices
    advice: AdviceReads
    price_record: PriceRecord
    gateway: PingGateway
    inboxes: InboxReads
    dispatch_params: DispatchParams
    supply: RecentSupply
    figures: Callable[[], Awaitable[LiveFigures]]
    #: The last matching rounds of a ride, the newest first.
    traces: Callable[[str], Awaitable[list[RideTrace]]]
    #: How well drivers' answers are foreseen; None if the policy does not try.
    acceptance: Callable[[], Awaitable[AcceptanceFigures | None]]
    #: Name of a part -> raises, with a message that says what to do, if it does not answer.
    checks: Mapping[str, Callable[[], Awaitable[Any]]]
    outages: Outages
    web_dir: Path


# Dependencies are coroutines although they wait for nothing: FastAPI sends plain functions to a thread each.
async def edges_of(request: Request) -> Edges:
    """The edges of the app that serves the request."""
    edges: Edges = request.app.state.edges
    return edges


EdgesDep = Annotated[Edges, Depends(edges_of)]

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="`hexhail token --role rider --subject alice`")
TOKEN_HINT = "Send 'Authorization: Bearer <token>'; for a demo: hexhail token --help."  # noqa: S105


def principal_of(token: str | None, tokens: Tokens) -> Principal:
    """Who a token speaks for. Raises ApiProblem 401."""
    challenge = {"WWW-Authenticate": "Bearer"}
    if not token:
        raise ApiProblem(401, "token_missing", "This operation needs a token.", TOKEN_HINT, headers=challenge)
    try:
        return tokens.verify(token)
    except TokenInvalid as error:
        detail = f"The token was refused: {error}."
        raise ApiProblem(401, "token_invalid", detail, TOKEN_HINT, headers=challenge) from error


def require_role(principal: Principal, *roles: Role) -> Principal:
    """The principal, if of one of the roles. Raises ApiProblem 403."""
    if principal.role not in roles:
        wanted = " or ".join(roles)
        raise ApiProblem(403, "wrong_role", f"A {principal.role} may not do this.", f"Use the token of a {wanted}.")
    return principal


def _for(*roles: Role) -> Callable[..., Awaitable[Principal]]:
    async def principal(
        edges: EdgesDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Principal:
        return require_role(principal_of(credentials.credentials if credentials else None, edges.tokens), *roles)

    return principal


RiderDep = Annotated[Principal, Depends(_for(Role.RIDER))]
DriverDep = Annotated[Principal, Depends(_for(Role.DRIVER))]
RiderOrDriverDep = Annotated[Principal, Depends(_for(Role.RIDER, Role.DRIVER))]
OperatorDep = Annotated[Principal, Depends(_for(Role.OPERATOR))]
AnyoneDep = Annotated[Principal, Depends(_for(*Role))]
