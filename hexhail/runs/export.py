"""Exports a live run from its store in the format of a simulated run, and replays it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dispatch.adapters.event_codec import decode
from dispatch.adapters.round_files import TIMES_SUFFIX, read_rounds, rounds_by_file
from dispatch.adapters.sql.store import SqlRideStore
from dispatch.events import RideEvent
from dispatch.model import DispatchParams, RideState
from dispatch.ports import RoundRecord
from dispatch.rules.invariants import check_history
from dispatch.service.replay import Replay, is_on_map, replay_rounds
from geo.city import City, load_city
from geo.roads.graph import RoadGraph
from hexhail.cities.policy import city_policy
from hexhail.runs.price_history import recorded_prices
from hexhail.runs.run_folder import ROUNDS_FOLDER, city_facts, read_events, write_drivers, write_events, write_summary
from hexhail.runtime.database import open_database
from kernel.section_reader import read_params
from pricing.adapters.sql.record import SqlPriceRecord
from simulator.service.event_log import sha256_of


@dataclass(frozen=True)
class Replayed:
    """The result of a replay; it is identical if both fingerprints and all rounds are."""

    events: int
    recorded_sha256: str
    replayed_sha256: str
    rounds: int
    #: Times of the rounds whose replayed decision differs.
    rounds_apart_s: list[float]

    @property
    def is_same(self) -> bool:
        """Whether every event and every round came out as it was."""
        return self.recorded_sha256 == self.replayed_sha256 and not self.rounds_apart_s


async def export(database_url: str, city_dir: Path, records: Path | None, out: Path) -> dict[str, Any]:
    """Write a run folder with events, prices, summary, recorded rounds and where drivers were first seen.

    Rounds that were recorded on another map stay where they are, and are counted. Returns the summary.

    Raises DependencyMissing, FileNotFoundError or ValueError.
    """
    city = load_city(city_dir)
    async with await open_database(database_url) as database:
        events = [decode(payload) for payload in await SqlRideStore(database).history()]
        prices = await recorded_prices(SqlPriceRecord(database), city.region.region_id, city.surge_cells)
    out.mkdir(parents=True, exist_ok=True)
    write_events(events, out)
    prices.save(out)
    rounds, n_others = _take_rounds(records, city, out) if records is not None and records.is_dir() else ([], 0)
    if rounds:
        write_drivers(*_first_seen(rounds, city.graph), out)
    summary = _summary(events, city, city_dir, len(rounds)) | {"rounds_of_other_maps": n_others}
    write_summary(summary, out)
    return summary


def replay(folder: Path, city_dir: Path) -> Replayed:
    """Decide the run in a folder again, with the parameters of its rounds or, without any, those of the city.

    Raises ReplayDiverged where the engine would refuse or decide otherwise, FileNotFoundError or ValueError.
    """
    city, events, rounds = load_city(city_dir), read_events(folder), read_rounds(folder / ROUNDS_FOLDER)
    params = rounds[0].params if rounds else read_params(city.sections, DispatchParams)
    decided = [event for event, _ in Replay(params).run(events)]
    again = replay_rounds(events, rounds, city_policy(city_dir, city.graph, params), city.graph)
    apart_s = [one.record.supply.now_s for one in again if not one.is_same]
    return Replayed(len(events), sha256_of(events), sha256_of(decided), len(rounds), apart_s)


def _take_rounds(records: Path, city: City, out: Path) -> tuple[list[RoundRecord], int]:
    """Copy the files of rounds on the city's map; return their rounds, and how many of other maps stay behind."""
    by_file = rounds_by_file(records)
    own = {path: of_file for path, of_file in by_file.items() if is_on_map(of_file, city.places.map_id)}
    if own:
        (out / ROUNDS_FOLDER).mkdir(exist_ok=True)
    for path in [*own, *(records.glob(f"*{TIMES_SUFFIX}") if own else ())]:
        shutil.copy2(path, out / ROUNDS_FOLDER)
    n_others = sum(len(of_file) for path, of_file in by_file.items() if path not in own)
    rounds = [record for of_file in own.values() for record in of_file]
    return sorted(rounds, key=lambda record: (record.supply.now_s, record.region_id)), n_others


def _first_seen(rounds: list[RoundRecord], graph: RoadGraph) -> tuple[list[str], RoadGraph, list[int]]:
    node_of: dict[str, int] = {}
    for record in rounds:
        for driver_id, node in zip(record.supply.driver_id, record.supply.node.tolist(), strict=True):
            node_of.setdefault(driver_id, node)
    names = sorted(node_of)
    return names, graph, [node_of[name] for name in names]


def _summary(events: list[RideEvent], city: City, city_dir: Path, rounds: int) -> dict[str, Any]:
    history = check_history(events)
    by_state = Counter(ride.state for ride in history.rides.values())
    return {
        "requests": len(history.rides),
        "completed": by_state[RideState.COMPLETED],
        "cancelled": by_state[RideState.CANCELLED],
        "expired": by_state[RideState.EXPIRED],
        "open": len(history.open_rides()),
        "violations": history.violations,
        "events": len(events),
        "events_sha256": sha256_of(events),
        "rounds": rounds,
        "city": city_facts(city, city_dir),
        "version": version("hexhail"),
    }
