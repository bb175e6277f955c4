"""The city under load as its people see it: address, clock, tokens, streets and demand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from api.auth.tokens import Role, Tokens
from dispatch.model import DispatchParams
from geo.city import City, load_city
from hexhail.cities.demand import make_demand
from hexhail.runtime.settings import Settings
from hexhail.runtime.token_keys import load_token_keys
from kernel.clock import CityClock
from kernel.points import Point
from kernel.section_reader import read_params
from simulator.demand.inputs import BadRows, read_requests
from simulator.demand.requests import Requests, load_requests
from simulator.streets.network import Streets

#: Wall seconds for which a person's token is good: longer than any run.
TOKEN_LIFE_S = 12 * 3600.0
#: Trips drawn for a city that has no requests, from its streets alone.
DRAWN_TRIPS = 20_000


@dataclass(frozen=True)
class Trip:
    """What one rider wants."""

    pickup: Point
    dropoff: Point
    seats: int


@dataclass(frozen=True)
class CityUnderLoad:
    """A running city, reached through its public address alone."""

    url: str
    clock: CityClock
    tokens: Tokens
    streets: Streets
    requests: Requests
    #: Wall milliseconds for which requests gather before a round.
    window_ms: float

    @classmethod
    def from_environment(cls, url: str, requests_path: Path | None) -> CityUnderLoad:
        """Read the settings that the city's own processes have (`HEXHAIL_…`), and its folder.

        Raises what Settings raises for settings that are missing, FileNotFoundError or ValueError for files.
        """
        settings = Settings()
        city, clock = load_city(settings.city_dir), settings.clock()
        window_s = read_params(city.sections, DispatchParams).batch_window_s
        requests, streets = demand_of(city, settings.city_dir, requests_path), Streets(city.graph)
        # At once: one after the other, each would copy those before.
        streets.stops.add(*np.concatenate([requests.pickup_deg, requests.dropoff_deg]).T)
        return cls(
            url=url.rstrip("/"),
            clock=clock,
            tokens=Tokens(load_token_keys(settings)),
            streets=streets,
            requests=requests,
            window_ms=1e3 * clock.wall_duration_s(window_s),
        )

    def token(self, role: Role, person_id: str) -> str:
        """Return a token that outlives the run."""
        return self.tokens.issue(role, person_id, TOKEN_LIFE_S)

    def stream_url(self, role: Role) -> str:
        """Return the address of a person's WebSocket."""
        return f"{self.url.replace('http', 'ws', 1)}/v1/{role.value}s/me/stream"

    def trip(self, generator: np.random.Generator) -> Trip:
        """Draw one of the requests."""
        wanted, row = self.requests, int(generator.integers(len(self.requests)))
        pickup, dropoff = Point(*wanted.pickup_deg[row].tolist()), Point(*wanted.dropoff_deg[row].tolist())
        return Trip(pickup, dropoff, int(wanted.party_size[row]))


def demand_of(city: City, folder: Path, requests_path: Path | None) -> Requests:
    """Return the requests of a file as `hexhail simulate` takes it, else the city's own, else drawn ones."""
    if requests_path is not None:
        return read_requests(requests_path, city.graph, city.region.off_road_m_max, BadRows()).asked
    try:
        return load_requests(folder)
    except FileNotFoundError:
        day = datetime.fromtimestamp(0, UTC).date()
        return make_demand(city, day, DRAWN_TRIPS, 1, 1, None, lambda _: None).requests
