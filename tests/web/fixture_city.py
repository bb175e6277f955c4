"""A small made-up city behind the operator's part of the API, for looking at the map without the engine.

Run it by hand: ``python tests/web/fixture_city.py --port 8000`` and open the address it prints.
"""

import argparse
import asyncio
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from pathlib import Path

import h3
import uvicorn
from fastapi import FastAPI, Header, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from kernel.supply import DriverState

TOKEN = "fixture-operator"
DIST = Path(__file__).parents[2] / "web" / "dist"
FRAME_S = 0.5
SPEED = 10.0
STARTS_S = 1_419_127_200.0
STATES = tuple(state for state in DriverState if state is not DriverState.OFFLINE)
STATE_WEIGHTS = (34, 6, 16, 7, 32, 5)
METRES_PER_DEG = 111_195.0
HIGHEST_REQUEST_AGE_S = 420.0

Point = tuple[float, float]


@dataclass
class Graph:
    """Points (lat, lng) in degrees, and from each the places of those it is joined with."""

    points: list[Point]
    joined: list[list[int]]
    speed_kmh: dict[tuple[int, int], float]

    def roads(self) -> dict[str, Any]:
        """GeoJSON, each segment once."""
        segments = [(a, b) for a, b in self.speed_kmh if a < b or (b, a) not in self.speed_kmh]
        return {"type": "FeatureCollection", "features": [self._segment(a, b) for a, b in segments]}

    def _segment(self, a: int, b: int) -> dict[str, Any]:
        line = [list(reversed(self.points[end])) for end in (a, b)]
        geometry = {"type": "LineString", "coordinates": line}
        return {"type": "Feature", "properties": {"speed_kmh": self.speed_kmh[a, b]}, "geometry": geometry}

    def bounds_deg(self) -> dict[str, float]:
        lats, lngs = zip(*self.points, strict=True)
        return {"south": min(lats), "west": min(lngs), "north": max(lats), "east": max(lngs)}


def grid(rows: int = 16, columns: int = 22) -> Graph:
    """Streets 200 m apart, every fourth an avenue."""
    lat_step, lng_step = 200 / METRES_PER_DEG, 200 / METRES_PER_DEG / math.cos(math.radians(48.0))
    points = [(48.0 + r * lat_step, 11.0 + c * lng_step) for r in range(rows) for c in range(columns)]
    joined: list[list[int]] = [[] for _ in points]
    speed_kmh = {}
    for r in range(rows):
        for c in range(columns):
            here = r * columns + c
            for there, line in ([(here + 1, r)] if c + 1 < columns else []) + (
                [(here + columns, c)] if r + 1 < rows else []
            ):
                joined[here].append(there)
                joined[there].append(here)
                speed_kmh[here, there] = 50.0 if line % 4 == 0 else 30.0
    return Graph(points, joined, speed_kmh)


@dataclass
class Car:
    """Somebody who wanders along the graph."""

    id: str
    state: DriverState
    at: int
    to: int
    done_m: float = 0.0


@dataclass
class City:
    """Drivers who wander, requests that come and go, surge that breathes."""

    graph: Graph
    drivers: int = 120
    seed: int = 7
    now_s: float = STARTS_S
    cars: list[Car] = field(init=False)
    requests: list[dict[str, Any]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.cars = [self._car(i) for i in range(self.drivers)]
        self.counter = 0
        for _ in range(max(6, self.drivers // 10)):
            self._request(age_s=self.random.uniform(0, HIGHEST_REQUEST_AGE_S))
        middle = [sum(axis) / len(self.graph.points) for axis in zip(*self.graph.points, strict=True)]
        cell = h3.latlng_to_cell(*middle, 8)
        self.surge = {near: round(1 + self.random.uniform(-0.25, 1.1), 1) for near in h3.grid_disk(cell, 2)}

    def story(self, cell: str, limit: int) -> list[dict[str, Any]]:
        """The changes of a cell's price, as an operator is told them."""
        now = self.surge.get(cell, 1.0)
        decided = {"requests": 14.2, "quotes": 6.1, "idle_drivers": 1.0, "supply": 2.4, "target": now, "wanted": now}
        bounds = [{"bound": "step", "words": "moved by one bounded step, more to follow"}]
        words = {"reason": "demand", "words": "more is asked for than the drivers in reach can serve"}
        steps = [{"multiplier": now / 1.1**n, "multiplier_before": now / 1.1 ** (n + 1)} for n in range(limit)]
        return [
            {"at_s": self.now_s - 15.0 * n, **step, **words, **decided, "bounds": bounds, "version": "1-fixture"}
            for n, step in enumerate(steps)
        ]

    def step(self, seconds: float) -> None:
        self.now_s += seconds
        for car in self.cars:
            self._drive(car, seconds)
        for request in list(self.requests):
            if self.now_s - request["requested_s"] > HIGHEST_REQUEST_AGE_S or self.random.random() < 0.02:
                self.requests.remove(request)
                self._request(age_s=0.0)

    def frame(self) -> dict[str, Any]:
        places = [self._place(car) for car in self.cars]
        ages = [self.now_s - request["requested_s"] for request in self.requests]
        return {
            "type": "frame",
            "now_s": self.now_s,
            "drivers": {
                "id": [car.id for car in self.cars],
                "lat_deg": [round(lat, 6) for lat, _, _ in places],
                "lng_deg": [round(lng, 6) for _, lng, _ in places],
                "heading_deg": [heading for _, _, heading in places],
                "state": [car.state for car in self.cars],
            },
            "requests": self.requests,
            "surge": [{"cell": cell, "multiplier": value} for cell, value in self.surge.items()],
            "figures": self._figures(max(ages)),
        }

    def _figures(self, oldest_s: float) -> dict[str, Any]:
        idle = sum(car.state is DriverState.IDLE for car in self.cars)
        return {
            "drivers_online": len(self.cars),
            "drivers_idle": idle,
            "drivers_busy": len(self.cars) - idle,
            "requests_open": len(self.requests),
            "rides_completed": int((self.now_s - STARTS_S) / 4),
            "rides_cancelled": 12,
            "rides_expired": 3,
            "pickup_wait_mean_s": 118.0,
            "pickup_wait_p95_s": 344.0,
            "oldest_request_age_s": oldest_s,
            "pings_per_s": len(self.cars) * SPEED / 5,
            "round_ms_p50": 4.2,
            "round_ms_p99": None,
            "surge_max": max(self.surge.values()),
        }

    def _car(self, i: int) -> Car:
        at = self.random.randrange(len(self.graph.points))
        while not self.graph.joined[at]:
            at = self.random.randrange(len(self.graph.points))
        state = self.random.choices(STATES, STATE_WEIGHTS)[0]
        return Car(f"driver-{i:04d}", state, at, self.random.choice(self.graph.joined[at]))

    def _drive(self, car: Car, seconds: float) -> None:
        if self.random.random() < 0.01:
            car.state = self.random.choices(STATES, STATE_WEIGHTS)[0]
        if car.state in (DriverState.AT_PICKUP, DriverState.STALE):
            return
        car.done_m += 8.0 * seconds
        while car.done_m >= (length_m := max(1.0, self._length_m(car))):
            car.done_m -= length_m
            onward = [there for there in self.graph.joined[car.to] if there != car.at] or [car.at]
            car.at, car.to = car.to, self.random.choice(onward)

    def _place(self, car: Car) -> tuple[float, float, float | None]:
        (lat, lng), (to_lat, to_lng) = self.graph.points[car.at], self.graph.points[car.to]
        done = car.done_m / max(1.0, self._length_m(car))
        east, north = (to_lng - lng) * math.cos(math.radians(lat)), to_lat - lat
        heading = None if car.state is DriverState.STALE else round(math.degrees(math.atan2(east, north)) % 360, 1)
        return lat + done * (to_lat - lat), lng + done * (to_lng - lng), heading

    def _length_m(self, car: Car) -> float:
        (lat, lng), (to_lat, to_lng) = self.graph.points[car.at], self.graph.points[car.to]
        return METRES_PER_DEG * math.hypot(to_lat - lat, (to_lng - lng) * math.cos(math.radians(lat)))

    def _request(self, age_s: float) -> None:
        self.counter += 1
        lat, lng = self.random.choice(self.graph.points)
        state = self.random.choice(("REQUESTED", "REQUESTED", "OFFERED"))
        self.requests.append(
            {
                "ride_id": f"ride-{self.counter:04d}",
                "state": state,
                "lat_deg": lat,
                "lng_deg": lng,
                "requested_s": self.now_s - age_s,
            }
        )


def build_app(city: City, dist: Path = DIST, name: str = "Gridville", timezone: str = "Europe/Berlin") -> FastAPI:
    """The operator's endpoints over a city, and the built page."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/v1/ops/city", response_model=None)
    def read_city(authorization: str = Header("")) -> dict[str, Any] | JSONResponse:
        if authorization != f"Bearer {TOKEN}":
            return refusal()
        about = {"region_id": name.lower(), "name": name, "timezone": timezone, "currency": "EUR", "minor_unit_digits": 2}
        return about | {"speed": SPEED, "bounds_deg": city.graph.bounds_deg(), "attribution": "Made-up streets"}

    @app.get("/v1/ops/city/roads", response_model=None)
    def read_roads(authorization: str = Header("")) -> dict[str, Any] | JSONResponse:
        return city.graph.roads() if authorization == f"Bearer {TOKEN}" else refusal()

    @app.get("/v1/ops/surge/history", response_model=None)
    def read_story(cell: str, limit: int, authorization: str = Header("")) -> dict[str, Any] | JSONResponse:
        if authorization != f"Bearer {TOKEN}":
            return refusal()
        return {"cell": cell, "changes": city.story(cell, limit)}

    @app.websocket("/v1/ops/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept("hexhail.v1")
        if f"bearer.{TOKEN}" not in socket.scope["subprotocols"]:
            await socket.close(4401)
            return
        await socket.send_json({"type": "from-a-later-version"})
        try:
            while True:
                city.step(FRAME_S * SPEED)
                await socket.send_text(json.dumps(city.frame()))
                await asyncio.sleep(FRAME_S)
        except WebSocketDisconnect:
            return

    @app.get("/", response_model=None)
    def page() -> FileResponse:
        return FileResponse(dist / "index.html")

    app.mount("/assets", StaticFiles(directory=dist / "assets"))
    return app


def refusal() -> JSONResponse:
    problem = {
        "type": "about:blank",
        "title": "The token is not valid",
        "status": 401,
        "code": "token_invalid",
        "hint": "Ask for a new one.",
    }
    return JSONResponse(problem, 401, media_type="application/problem+json")


def serve(city: City, port: int, **about: str) -> None:
    """Serves until it is told to stop; the first line printed is the address of the map."""
    config = uvicorn.Config(
        build_app(city, **about), host="127.0.0.1", port=port, log_level="warning", ws="websockets-sansio"
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        for address in addresses(server):
            print(f"http://{address}/#token={TOKEN}", flush=True)  # noqa: T201 - the caller reads it
        await serving

    asyncio.run(run())


def addresses(server: uvicorn.Server) -> Iterator[str]:
    for listening in server.servers:
        for socket in listening.sockets:
            yield "{}:{}".format(*socket.getsockname()[:2])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--drivers", type=int, default=120)
    given = parser.parse_args()
    serve(City(grid(), given.drivers), given.port)
