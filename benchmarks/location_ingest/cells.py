"""The resolution of the cells that hold drivers: what writing, reading a snapshot and changing cells cost at 7 to 9.

Reading is `RedisSupply.positions`, what a matching round begins with: all cells in one pipeline. Places are nodes of
the road graph; cell changes are counted in real tracks. Real Valkey; CPU of the process that reads and of the server.
"""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from redis.asyncio import Redis

from benchmarks.common.inputs import bay_area
from benchmarks.common.measure import SHARED_DATA, Report
from dispatch.adapters.redis_supply import RedisSupply
from geo.arrays import FloatArray
from geo.cells import cells_to_strings, latlng_to_cells
from geo.city import City, load_city
from geo.positions import pack
from hexhail.runtime import embedded
from hexhail.runtime.settings import MANHATTAN
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.columns import PositionColumns

RESOLUTIONS = (7, 8, 9)
PUTS = 30
_NONE = np.zeros(0, np.int64)


def _server_cpu_us(info: dict[str, float]) -> float:
    return 1e6 * (float(info["used_cpu_user"]) + float(info["used_cpu_sys"]))


def _positions(lat_deg: FloatArray, lng_deg: FloatArray, t_s: float, resolution: int) -> PositionColumns:
    cell = latlng_to_cells(lat_deg, lng_deg, resolution)
    order = np.argsort(cell, kind="stable")
    times, zeros = np.full(len(order), t_s), np.zeros(len(order))
    packed = pack(times, lat_deg[order], lng_deg[order], zeros, zeros)
    return PositionColumns([f"driver-{number}" for number in order.tolist()], cell[order], packed, _NONE, _NONE)


async def _measure(port: int, city: City, drivers: int) -> tuple[int, float, float, float, float]:
    """Return (cells, server µs a write, ms a snapshot of this process, of the server, and on the wall)."""
    redis = Redis(port=port)
    await redis.flushall()
    rng = np.random.default_rng(0)
    node = rng.integers(0, city.graph.node_count, drivers)
    lat, lng = city.graph.lat_deg[node], city.graph.lng_deg[node]
    cells, resolution = RedisCells(redis), city.region.search_resolution
    supply = RedisSupply(redis, "r", cells_to_strings(city.search_cells))
    now_s = 1_700_000_000.0
    spent_us = 0.0
    for turn in range(PUTS + 1):
        # 30 m north or south: what a car drives in the four seconds between two pings.
        lat = lat + rng.normal(0.0, 30.0 / 111_195.0, drivers)
        before_us = _server_cpu_us(await redis.info("cpu"))
        for part in _positions(lat, lng, now_s + turn, resolution).parts(1_000):
            await cells.put("r", part, {})
        if turn:
            spent_us += _server_cpu_us(await redis.info("cpu")) - before_us
    assert len((await supply.positions()).driver_id) <= drivers
    before_us, own_s, wall_s = _server_cpu_us(await redis.info("cpu")), time.process_time(), time.perf_counter()
    for _ in range(10):
        await supply.positions()
    own_ms, wall_ms = 100 * (time.process_time() - own_s), 100 * (time.perf_counter() - wall_s)
    server_ms = (_server_cpu_us(await redis.info("cpu")) - before_us) / 1e4
    await redis.aclose()
    return len(city.search_cells), spent_us / (PUTS * drivers), own_ms, server_ms, wall_ms


def _changes(report: Report, *, small: bool) -> None:
    """How many pings of San Francisco cabs are in another cell than the one before, and how many of those return."""
    path = SHARED_DATA / "sf" / "pings_2008-06-06_by_time.parquet"
    if small or not path.exists():
        report.note("cell changes left out: they need ../shared/data/sf" if not small else "cell changes left out")
        return
    from pyarrow import parquet

    table = parquet.read_table(path)
    cab, t_s = table["cab_id"].to_numpy(), table["t"].to_numpy().astype(np.int64)
    lat, lng = (table[name].to_numpy() / 1e5 for name in ("lat_e5", "lon_e5"))
    order = np.lexsort((t_s, cab))
    same_cab = cab[order][1:] == cab[order][:-1]
    rows = []
    for resolution in RESOLUTIONS:
        cell = latlng_to_cells(lat, lng, resolution)[order]
        changed = same_cab & (cell[1:] != cell[:-1])
        returned = changed[1:] & same_cab[:-1] & (cell[2:] == cell[:-2])
        rows.append([resolution, 100 * float(changed.mean()), 100 * float(returned.sum() / changed.sum())])
    header = ["resolution", "% of pings change the cell", "% of those go back to the last"]
    report.table("507,223 pings of San Francisco, one a minute", header, rows)


def _cities(report: Report, *, small: bool) -> Sequence[tuple[str, City]]:
    manhattan = load_city(MANHATTAN)
    bay = City(replace(manhattan.region, region_id="bay"), bay_area(report, small=small), {})
    return [("Manhattan", manhattan), ("Bay Area", bay)]


def run(small: bool, report: Report) -> None:
    """Measure on both cities; about two minutes."""
    rows: list[list[object]] = []
    port = embedded.free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [*embedded.valkey_command(port, Path(folder)), "--appendonly", "no"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            asyncio.run(embedded.wait_for_port(port, "Valkey"))
            for name, city in _cities(report, small=small):
                for drivers in (50,) if small else (500, 5_000, 20_000):
                    for resolution in RESOLUTIONS:
                        region = replace(city.region, search_resolution=resolution)
                        found = asyncio.run(_measure(port, replace(city, region=region), drivers))
                        rows.append([name, drivers, resolution, *found])
        finally:
            server.kill()
            server.wait(10)
    header = ["city", "drivers", "resolution", "cells", "server µs a write"]
    report.table("Writing and reading", [*header, "ms a snapshot", "of the server", "on the wall"], rows)
    _changes(report, small=small)
