"""Learns position values from run folders: simulated runs or exported live runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dispatch.matching.driver_log import transitions_of
from dispatch.matching.position_value import PositionValue, ValueParams
from dispatch.matching.value_learning import Transitions, learn_values
from dispatch.rules.places import requests_on_map
from geo.city import City
from geo.roads.graph import roads_sha256
from hexhail.runs.run_folder import SUMMARY_FILE, read_events


@dataclass(frozen=True)
class Learned:
    """Values, and what they were learned from."""

    values: PositionValue
    trips: int
    transitions: int


def learn_from_runs(
    city: City,
    run_dirs: Sequence[Path],
    params: ValueParams | None = None,
    on_progress: Callable[[str], None] = lambda what: None,
) -> Learned:
    """Learn from the events of some runs in this city, each on its own; `on_progress` is told what is being done.

    Raises ValueError or FileNotFoundError that names the run which cannot be used.
    """
    params = params or ValueParams()
    parts = []
    for folder in run_dirs:
        _require_same_roads(city, folder)
        on_progress(f"reading {folder}")
        try:
            events = requests_on_map(read_events(folder), city.places)
            parts.append(transitions_of(events, params.step_s))
        except ValueError as error:
            raise ValueError(f"the events in {folder} cannot be read: {error}") from error
    transitions = Transitions.joined(parts)
    on_progress("learning")
    values = learn_values(transitions, city.graph, params)
    return Learned(values, int((transitions.fare_cents > 0).sum()), len(transitions))


def _require_same_roads(city: City, folder: Path) -> None:
    """Raise ValueError if the run says that it was about other roads; one that does not say is taken at its nodes."""
    summary = folder / SUMMARY_FILE
    if not summary.is_file():
        return
    about = json.loads(summary.read_text(encoding="utf-8")).get("city", {})
    if about.get("roads_sha256", roads_sha256(city.graph)) != roads_sha256(city.graph):
        raise ValueError(f"{folder} is a run of {about.get('name')} on other roads than those of {city.region.name}")
