"""Inputs of the pricing benchmark: a metro of cells with hot spots, and the rides and quotes of a recorded day."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dispatch import events
from dispatch.adapters.event_codec import encode
from geo import cells
from geo.arrays import FloatArray, IntArray
from kernel.points import Place
from pricing.rules.grid import SurgeGrid
from pricing.rules.reach import as_the_crow_flies
from simulator.demand.requests import Requests

RESOLUTION = 8
CENTRE_DEG = (37.77, -122.42)
#: Seconds from a request to each further event of a ride that goes well.
STEPS_S = (2.0, 8.0, 240.0, 300.0, 900.0)
#: As the API writes it: what a ride's first event is mostly made of.
RECEIPT = {
    "tariff_version": "5f2c0f9e3a7b4d11", "quoted_s": 0.0, "distance_m": 2534.0, "travel_time_s": 611.0,
    "surge_multiplier": 1.0, "lines": [{"name": "base", "cents": 250}, {"name": "distance", "cents": 317}],
    "tax_cents": 0, "changes": [],
}  # fmt: skip


def metro(cell_count: int) -> SurgeGrid:
    """Return so many cells round a centre, supply spread as the crow flies."""
    steps = int(np.ceil((np.sqrt(12 * cell_count - 3) - 3) / 6))
    centre = int(cells.latlng_to_cells(*CENTRE_DEG, RESOLUTION)[0])
    own = np.sort(cells.disk(centre, steps))[:cell_count]
    return SurgeGrid.of(own, as_the_crow_flies(own, 120.0))


@dataclass(frozen=True)
class Counts:
    """What one tick is given, (c,) each."""

    requests: FloatArray
    quotes: FloatArray
    idle: IntArray


def hot_spots(grid: SurgeGrid, rng: np.random.Generator) -> FloatArray:
    """Return demand (c,) of sixty centres of all sizes, and a little everywhere."""
    lat_deg, lng_deg = cells.cell_to_latlng(grid.cell)
    demand = np.full(len(grid), 0.2)
    for centre in rng.integers(0, len(grid), 60):
        away = (lat_deg - lat_deg[centre]) ** 2 + (lng_deg - lng_deg[centre]) ** 2
        demand += 10.0 * rng.random() * np.exp(-away / 0.03**2)
    return demand


def each_by_itself(grid: SurgeGrid, rng: np.random.Generator) -> FloatArray:
    """Return demand (c,) of which no cell knows its neighbour's: the hardest to keep within a ratio."""
    return np.asarray(np.exp(rng.normal(0.0, 2.5, len(grid))))


def drawn(demand: FloatArray, rng: np.random.Generator) -> Counts:
    """Return one moment: the whole city busier or calmer, each cell by chance."""
    requests = rng.poisson(demand * rng.lognormal(0.0, 0.5)).astype(np.float64)
    return Counts(requests, 0.5 * requests, rng.poisson(0.4 * demand + 0.1))


def ride_messages(requests: Requests, rides: int, region_id: str, now_s: float, prefix: str) -> list[bytes]:
    """Return the six events each of so many rides, by time, the last of them a moment ago."""
    said = sorted(_rides(requests, rides, region_id, now_s, prefix), key=lambda event: event.at_s)
    return [encode(event).encode() for event in said]


def _rides(requests: Requests, rides: int, region_id: str, now_s: float, prefix: str) -> Iterator[events.RideEvent]:
    for ride in range(rides):
        row = ride % len(requests.t_s)
        at_s = now_s - STEPS_S[-1] - 0.05 * (rides - ride)
        pickup, dropoff = (
            Place(float(place[0]), float(place[1]), row)
            for place in (requests.pickup_deg[row], requests.dropoff_deg[row])
        )
        common = {"ride_id": f"{prefix}{ride:012x}", "region_id": region_id, "rider_id": f"rider-{ride}"}
        driver = {"driver_id": f"driver-{ride % 5000}"}
        money = {"fare_cents": 1217, "currency": "USD"}
        offer = {"offer_id": f"{prefix}{ride}-1", "token": ride, "pickup_eta_s": 240.0, **driver}
        trip = {"pickup": pickup, "dropoff": dropoff, "seats": 1, **money}
        said: list[tuple[type[events.RideEvent], dict[str, object]]] = [
            (events.RideRequested, {"quote_id": "q" * 32, "receipt": RECEIPT, **trip}),
            (events.OfferSent, {"expires_s": at_s + 17.0, **offer, **trip}),
            (events.OfferAccepted, offer),
            (events.DriverArrived, driver),
            (events.RiderPickedUp, driver),
            (events.RiderDroppedOff, {"receipt": RECEIPT, **driver, **money}),
        ]
        for sequence, ((kind, facts), after_s) in enumerate(zip(said, (0.0, *STEPS_S), strict=True), start=1):
            yield kind(sequence=sequence, at_s=at_s + after_s, **common, **facts)


def trip_bodies(requests: Requests, count: int) -> list[bytes]:
    """Return the bodies of so many requests for a quote."""
    bodies = []
    for row in range(count):
        ends = requests.pickup_deg[row % len(requests.t_s)], requests.dropoff_deg[row % len(requests.t_s)]
        pickup, dropoff = ({"lat_deg": float(lat), "lng_deg": float(lng)} for lat, lng in ends)
        bodies.append(json.dumps({"pickup": pickup, "dropoff": dropoff}).encode())
    return bodies
