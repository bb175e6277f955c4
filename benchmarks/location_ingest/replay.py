"""A recorded day through the HTTP edge of a real installation, at several hundred times its speed; cells checked."""

import asyncio
import csv
import json
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from redis.asyncio import Redis

from benchmarks.common.inputs import MPS_PER_MPH
from benchmarks.common.measure import SHARED_DATA, Report
from geo.city import City, load_city
from geo.city_build import CsvSource, build_city
from geo.positions import unpack
from hexhail.cities.files import write_city_file
from hexhail.runs.recorded_pings import RecordedPings, read_pings
from hexhail.runs.replay_pings import Installation, ReplayFigures, replay
from hexhail.runtime import embedded
from hexhail.runtime.settings import MANHATTAN
from hexhail.runtime.supervisor import Spec, Supervisor
from kernel.clock import CityClock
from kernel.contracts import redis_keys
from kernel.keyring import KeyRing
from kernel.section_reader import read_params
from location_ingest.model import IngestParams
from tests.location_ingest.plain_cells import Plain, compute, region_cells

FRIDAY = SHARED_DATA / "sf" / "pings_2008-06-06_by_time.parquet"
#: Recorded seconds in a second.
SPEED = 600.0
SMALL_SPEED = 300.0
READY_S_MAX = 120.0
#: At hundreds of city seconds in a second a ping is soon old, and the last positions are to be looked at in peace.
SECTIONS = "\n[ingest]\nage_s_max = 36000.0\n\n[cells]\nremove_after_s = 1e9\n"


def run(small: bool, report: Report) -> None:
    """Replay the San Francisco Friday; ``small`` a few minutes of it, or drawn ones where it is absent."""
    has_friday = FRIDAY.exists()
    if not small and not has_friday:
        report.note("needs ../shared/data/sf: left out")
        return
    with tempfile.TemporaryDirectory(prefix="hexhail-replay-") as folder:
        city_dir = Path(folder) / "city"
        if has_friday:
            build_san_francisco(city_dir)
            pings = read_pings(FRIDAY)
            pings = a_while_of(pings, 12 * 3600, 1200.0) if small else pings
        else:
            copy_of_manhattan(city_dir)
            pings = drawn_pings(load_city(city_dir))
        report.note("San Francisco, 2008-06-06" if has_friday else "drawn drives in Manhattan, for want of real ones")
        replayed = asyncio.run(replayed_through(city_dir, pings, SMALL_SPEED if small else SPEED, Path(folder)))
    report_figures(replayed, report)
    check(replayed)


def build_san_francisco(folder: Path) -> None:
    """Build the city out of the Bay Area's drive graph."""
    from pyarrow import parquet

    nodes, edges = (parquet.read_table(FRIDAY.parent / f"bayarea_{name}.parquet") for name in ("nodes", "edges"))
    folder.mkdir(parents=True)
    with (folder / "nodes.csv").open("w", newline="") as out:
        rows = zip(*(nodes[name].to_pylist() for name in ("osmid", "lat", "lon")), strict=True)
        csv.writer(out).writerows([("node", "lat", "lng"), *rows])
    with (folder / "edges.csv").open("w", newline="") as out:
        columns = [edges[name].to_pylist() for name in ("u", "v", "length_m", "speed_mph")]
        rows = ((u, v, length_m, length_m / (mph * MPS_PER_MPH)) for u, v, length_m, mph in zip(*columns, strict=True))
        csv.writer(out).writerows([("source", "target", "length_m", "travel_time_s"), *rows])
    build_city(CsvSource(folder / "nodes.csv", folder / "edges.csv"), folder, lambda stage, done: None)
    write_city_file(folder, name="San Francisco", timezone="America/Los_Angeles", currency="USD", is_osm=True)
    _add_sections(folder)


def copy_of_manhattan(folder: Path) -> None:
    """Copy the city that is shipped, to be told other parameters."""
    folder.mkdir(parents=True)
    for name in ("city.toml", "roads.npz"):
        (folder / name).write_bytes((MANHATTAN / name).read_bytes())
    _add_sections(folder)


def _add_sections(folder: Path) -> None:
    with (folder / "city.toml").open("a", encoding="utf-8") as out:
        out.write(SECTIONS)


def a_while_of(pings: RecordedPings, after_s: float, duration_s: float) -> RecordedPings:
    """Return the pings of a stretch that begins so long after the first one."""
    since_s = pings.t_s[0] + after_s
    return pings.taken((pings.t_s >= since_s) & (pings.t_s < since_s + duration_s))


def drawn_pings(city: City, drivers: int = 150, duration_s: float = 900.0, seed: int = 1) -> RecordedPings:
    """Return pings each half minute of cars that wander from node to node, and now and then jump."""
    rng = np.random.default_rng(seed)
    steps = int(duration_s / 30.0)
    start = rng.integers(0, city.graph.node_count, drivers)
    wander_deg = rng.normal(0.0, 0.0008, (2, drivers, steps)).cumsum(axis=2)
    wander_deg += np.where(rng.random((1, drivers, steps)) < 0.01, 0.05, 0.0)
    lat_deg = city.graph.lat_deg[start, None] + wander_deg[0]
    lng_deg = city.graph.lng_deg[start, None] + wander_deg[1]
    t_s = 1.4e9 + 30.0 * np.arange(steps)[None, :] + rng.uniform(0.0, 20.0, (drivers, 1))
    driver_id = np.repeat(np.array([f"d{number}" for number in range(drivers)], dtype=object), steps)
    order = np.argsort(t_s.ravel(), kind="stable")
    return RecordedPings(driver_id, t_s.ravel(), lat_deg.ravel(), lng_deg.ravel(), {}).taken(order)


@dataclass(frozen=True)
class Replayed:
    """A replay, the resulting cells, and the expected cells."""

    figures: ReplayFigures
    stored: dict[str, tuple[str, int, int, int]]
    #: Drivers that stand in more than one cell, or in another than the index says.
    misplaced: list[str]
    expected: Plain


async def replayed_through(city_dir: Path, pings: RecordedPings, speed: float, folder: Path) -> Replayed:
    """Start an installation, replay the pings through it, read the cells, and compute in plain Python what they say."""
    city = load_city(city_dir)
    region = city.region
    async with _installation(city_dir, speed, float(pings.t_s[0]), folder) as (installation, redis):
        figures = await replay(pings, installation)
        stored, misplaced = await _cells(redis, region.region_id)
    nodes = zip(city.graph.lat_deg.tolist(), city.graph.lng_deg.tolist(), strict=True)
    params = read_params(city.sections, IngestParams)
    moved = (pings.driver_id, pings.t_s + figures.shift_s, pings.lat_deg, pings.lng_deg)
    rows = list(zip(*(column.tolist() for column in moved), strict=True))
    streets = (list(map(tuple, city.graph.edge_points(edge).tolist())) for edge in range(city.graph.edge_count))
    cells = region_cells(nodes, streets, region.search_resolution)
    return Replayed(figures, stored, misplaced, compute(rows, cells, region.search_resolution, params))


@asynccontextmanager
async def _installation(
    city_dir: Path, speed: float, first_s: float, folder: Path
) -> AsyncIterator[tuple[Installation, Redis]]:
    """Run the servers, an API and an ingester, with a clock that begins with the data."""
    from api.auth.token_keys import TokenKeys
    from api.auth.tokens import Role, Tokens

    redis_port, broker_port, api_port = embedded.free_ports(3)
    keys = {"replay": secrets.token_hex(32)}
    clock = CityClock(speed, first_s, time.time())
    env = {
        "HEXHAIL_CITY_DIR": str(city_dir),
        "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "HEXHAIL_BROKER_URL": f"127.0.0.1:{broker_port}",
        "HEXHAIL_DATABASE_URL": f"sqlite:///{folder / 'hexhail.db'}",
        "HEXHAIL_API_PORT": str(api_port),
        "HEXHAIL_INTERNAL_PORT": str(api_port),
        "HEXHAIL_DATA_DIR": str(folder / "workers"),
        "HEXHAIL_BROKER_SESSION_TIMEOUT_S": "3.0",
        "HEXHAIL_TOKEN_SECRETS": json.dumps(keys),
        "HEXHAIL_CLOCK_SPEED": repr(clock.speed),
        "HEXHAIL_CLOCK_CITY_S": repr(clock.city_s),
        "HEXHAIL_CLOCK_WALL_S": repr(clock.wall_s),
    }
    supervisor = Supervisor(folder / "logs")
    redis = Redis(port=redis_port)
    try:
        await supervisor.start(Spec("valkey", embedded.valkey_command(redis_port, folder / "valkey")))
        await supervisor.start(Spec("broker", embedded.broker_command(broker_port)))
        await asyncio.gather(
            embedded.wait_for_port(redis_port, "Valkey"), embedded.wait_for_port(broker_port, "the broker")
        )
        for role in ("ingester", "api"):
            await supervisor.start(Spec(role, [sys.executable, "-m", "hexhail", "serve", role], env))
        await _until_ready(api_port)
        tokens = Tokens(TokenKeys.of_secrets(KeyRing(keys)))
        url = f"http://127.0.0.1:{api_port}"
        operator = tokens.issue(Role.OPERATOR, "replay", 24 * 3600)
        yield Installation(url, clock, lambda name: tokens.issue(Role.DRIVER, name, 24 * 3600), operator), redis
    finally:
        await redis.aclose()
        await supervisor.close()


async def _until_ready(port: int) -> None:
    deadline_s = time.monotonic() + READY_S_MAX
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=3.0) as client:
        while time.monotonic() < deadline_s:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    raise TimeoutError(f"the API was not ready within {READY_S_MAX:.0f} s")


async def _cells(redis: Redis, region_id: str) -> tuple[dict[str, tuple[str, int, int, int]], list[str]]:
    """Return cell, time and place of every driver in any cell, and the drivers that are in two or not in the index."""
    prefix = redis_keys.cell_prefix(region_id)
    held = await redis.hgetall(redis_keys.driver_index(region_id))
    index = {name.decode(): entry.decode() for name, entry in held.items()}
    stored: dict[str, tuple[str, int, int, int]] = {}
    misplaced = []
    async for key in redis.scan_iter(match=f"{prefix}*", count=1000):
        cell = key.decode().removeprefix(prefix)
        for name, packed in (await redis.hgetall(key)).items():
            record = unpack([packed])[0]
            driver_id = name.decode()
            if driver_id in stored or index.get(driver_id) != f"{cell}|{record['t_ms']}":
                misplaced.append(driver_id)
            stored[driver_id] = (cell, int(record["t_ms"]), int(record["lat_e7"]), int(record["lng_e7"]))
    misplaced += sorted(index.keys() - stored.keys())
    return stored, misplaced


def report_figures(replayed: Replayed, report: Report) -> None:
    """Report the figures, beside those of the plain computation."""
    figures, expected = replayed.figures, replayed.expected
    seen = figures.refused + figures.rejected
    rows: list[list[object]] = [["accepted", figures.accepted, expected.accepted]]
    rows += [[f"rejected: {name}", seen[name], expected.rejected[name]] for name in sorted({*seen, *expected.rejected})]
    report.table("Pings", ["", "replayed", "in plain Python"], [*rows, ["sent", figures.sent, figures.sent]])
    report.figure("speed", figures.speed, "recorded seconds in a second")
    report.figure("wall time", figures.elapsed_s, "s")
    report.figure("rate", figures.sent / figures.elapsed_s, "pings/s")
    report.figure("pings in a request", figures.sent / figures.requests, "pings")
    report.figure("put off with 503", figures.put_off, "pings")
    report.figure("drivers in cells", len(replayed.stored), "drivers")
    differing = {name for name, place in replayed.stored.items() if expected.last.get(name) != place}
    report.figure(
        "drivers elsewhere than computed", len(differing | (expected.last.keys() - replayed.stored)), "drivers"
    )
    report.checksum("cells", np.array([place[1:] for _, place in sorted(expected.last.items())]))


def check(replayed: Replayed) -> None:
    """Raise AssertionError unless every ping is accounted for and every driver stands where the computation says."""
    figures, expected = replayed.figures, replayed.expected
    if figures.unaccounted:
        raise AssertionError(f"{figures.unaccounted} pings are not accounted for: {figures}")
    if figures.accepted != expected.accepted or +(figures.refused + figures.rejected) != +expected.rejected:
        raise AssertionError(f"other verdicts than computed: {figures} instead of {expected.rejected}")
    if replayed.misplaced or replayed.stored != expected.last:
        raise AssertionError(f"cells differ from those computed; misplaced: {replayed.misplaced[:5]}")
