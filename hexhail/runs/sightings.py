"""Sightings of idle drivers in a run, stored beside the ride events, which do not hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from dispatch.adapters.round_files import read_rounds
from dispatch.service.replay import require_map
from geo.places import map_id_of
from geo.roads.graph import RoadGraph
from hexhail.runs.run_folder import ROUNDS_FOLDER
from simulator.model import AskedAt
from simulator.streets.tracks import Sighting

SIGHTINGS_FILE = "sightings.npz"


def write_sightings(driver_ids: Sequence[str], asked_at: Sequence[AskedAt], folder: Path) -> None:
    """Write where the drivers of a simulation were when they were asked."""
    numbers = np.array(asked_at, np.float64).reshape(-1, len(AskedAt._fields))
    np.savez_compressed(
        folder / SIGHTINGS_FILE,
        driver_id=np.array(driver_ids, np.str_),
        at_s=numbers[:, 0],
        driver=numbers[:, 1].astype(np.int32),
        lat_deg=numbers[:, 2],
        lng_deg=numbers[:, 3],
    )


def read_sightings(folder: Path, graph: RoadGraph) -> Iterator[Sighting]:
    """What a run folder knows, by time: of a simulation its file, of a live run its recorded rounds; or nothing.

    Raises ValueError for a file that is broken, or for rounds of other roads.
    """
    path = folder / SIGHTINGS_FILE
    if path.is_file():
        yield from _of_simulation(path, graph)
    elif (folder / ROUNDS_FOLDER).is_dir():
        yield from of_rounds(folder / ROUNDS_FOLDER, graph)


def _of_simulation(path: Path, graph: RoadGraph) -> Iterator[Sighting]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names = stored["driver_id"].tolist()
            at_s, driver = stored["at_s"].tolist(), stored["driver"].tolist()
            node, _ = graph.snap(stored["lat_deg"], stored["lng_deg"])
        yield from [Sighting(*one) for one in zip(at_s, (names[at] for at in driver), node.tolist(), strict=True)]
    except (BadZipFile, KeyError, IndexError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} holds no sightings ({error}): leave it out, or simulate the run again") from error


def of_rounds(folder: Path, graph: RoadGraph) -> Iterator[Sighting]:
    """Where the recorded rounds in a folder saw drivers, by time.

    Raises RoundsOfAnotherMap if their nodes are not those of ``graph``, ValueError for a file that is broken.
    """
    records = read_rounds(folder)
    require_map(records, map_id_of(graph))
    for record in records:
        supply = record.supply
        for driver_id, node in zip(supply.driver_id, supply.node.tolist(), strict=True):
            yield Sighting(supply.now_s, driver_id, node)
