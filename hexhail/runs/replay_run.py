"""Prepares a recorded run for the replay page: tracks, rides, roads, the events of one ride or driver."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dispatch import events as ev
from geo.cells import cells_to_strings
from geo.city import City, load_city
from geo.roads.graph import roads_sha256
from hexhail.runs.price_history import PriceHistory
from hexhail.runs.run_folder import DRIVERS_FILE, SUMMARY_FILE, read_events
from hexhail.runs.sightings import read_sightings
from kernel.money import MINOR_UNIT_DIGITS
from simulator.service.event_log import lines
from simulator.streets.tracks import STATES, Tracks, tracks_of

#: What an open ride is, by the number that the page knows it by.
_CLOSED, _REQUESTED, _OFFERED = range(3)
_OPENNESS: dict[type[ev.RideEvent], int] = {
    ev.RideRequested: _REQUESTED,
    ev.OfferSent: _OFFERED,
    ev.OfferDeclined: _REQUESTED,
    ev.OfferExpired: _REQUESTED,
    ev.OfferWithdrawn: _REQUESTED,
    ev.AssignmentCancelled: _REQUESTED,
    ev.OfferAccepted: _CLOSED,
    ev.RideCancelled: _CLOSED,
    ev.RiderDidNotShow: _CLOSED,
    ev.RideExpired: _CLOSED,
}
_ENDS: dict[type[ev.RideEvent], str] = {
    ev.RiderDroppedOff: "completed",
    ev.TripClosed: "completed",
    ev.RiderDidNotShow: "cancelled",
    ev.RideCancelled: "cancelled",
    ev.RideExpired: "expired",
}


class RecordedRun:
    """A run folder, read and made ready."""

    def __init__(self, folder: Path, city_dir: Path | None) -> None:
        """Raises FileNotFoundError or ValueError that says what is missing, or that the roads are not the run's."""
        self.events = read_events(folder)
        if not self.events:
            raise ValueError(f"{folder} holds no events")
        self.city = _city_of(folder, city_dir)
        starts = _starts(folder, self.city)
        self.tracks = tracks_of(self.events, self.city.graph, starts, read_sightings(folder, self.city.graph))
        self.prices = PriceHistory.load(folder)
        self._rows: dict[str, list[int]] = defaultdict(list)
        for row, event in enumerate(self.events):
            self._rows[event.ride_id].append(row)
            if (driver_id := getattr(event, "driver_id", None)) is not None:
                self._rows[driver_id].append(row)

    def about(self) -> dict[str, Any]:
        """The city, the span of time, the drivers and the rides as columns."""
        region = self.city.region
        return {
            "city": {
                "region_id": region.region_id,
                "name": region.name,
                "timezone": region.timezone,
                "currency": region.currency,
                "minor_unit_digits": MINOR_UNIT_DIGITS[region.currency],
                "attribution": region.attribution,
                "bounds_deg": self.city.bounds_deg,
                "speed": 1,
            },
            "begin_s": self.tracks.begin_s,
            "end_s": max(event.at_s for event in self.events),
            "drivers": list(self.tracks.driver_id),
            # What the numbers in the tracks mean.
            "driver_states": list(STATES),
            "rides": _ride_columns(self.events, self.tracks.begin_s),
        }

    def price_columns(self) -> dict[str, list[Any]]:
        """Changes of surge multipliers as columns: `t_ms`, `at` a place among the names in `cell`, `multiplier`."""
        cell, at = np.unique(self.prices.cell, return_inverse=True)
        t_ms = np.rint(1e3 * (self.prices.at_s - self.tracks.begin_s)).astype(np.int64)
        multiplier = self.prices.multiplier.round(2).tolist()
        names = cells_to_strings(cell) if cell.size else []
        return {"cell": names, "t_ms": t_ms.tolist(), "at": at.tolist(), "multiplier": multiplier}

    def events_of(self, subject: str) -> list[dict[str, Any]] | None:
        """All events of a ride or a driver in their order; None if there is no such subject."""
        if subject not in self._rows and subject not in self.tracks.driver_id:
            return None
        return [json.loads(line) for line in lines(self.events[row] for row in self._rows.get(subject, ()))]


def packed(tracks: Tracks) -> bytes:
    """Tracks as little-endian bytes: n and p (uint32), offset (n + 1), t_ms, lat_e6, lng_e6 (p int32), state (p)."""
    counts = np.array([len(tracks.driver_id), tracks.t_ms.size], "<u4")
    columns = (tracks.offset, tracks.t_ms, tracks.lat_e6, tracks.lng_e6)
    parts = [counts.tobytes(), *(column.astype("<i4").tobytes() for column in columns), tracks.state.tobytes()]
    return b"".join(parts)


def _city_of(folder: Path, city_dir: Path | None) -> City:
    path = folder / SUMMARY_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: is {folder} the folder of a run?")
    facts = json.loads(path.read_text(encoding="utf-8")).get("city")
    if facts is None and city_dir is None:
        raise ValueError(f"{path} does not say in which city the run was: name its folder with --city")
    city = load_city(city_dir or Path(facts["folder"]))
    if facts is not None and (found := roads_sha256(city.graph)) != facts["roads_sha256"]:
        raise ValueError(
            f"the roads of {city_dir or facts['folder']} are not those of the run ({found[:12]} is not "
            f"{facts['roads_sha256'][:12]}): name the right city with --city"
        )
    return city


def _starts(folder: Path, city: City) -> dict[str, int]:
    """Where drivers began; a run that does not say has nobody on the map before a first pickup."""
    path = folder / DRIVERS_FILE
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return {}
    try:
        places = [(float(row["lat"]), float(row["lng"])) for row in rows]
        node, _ = city.graph.snap([lat for lat, _ in places], [lng for _, lng in places])
        return {row["driver_id"]: int(at) for row, at in zip(rows, node.tolist(), strict=True)}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no table of driver_id,lat,lng: {error!r}") from error


def _ride_columns(events: Sequence[ev.RideEvent], begin_s: float) -> dict[str, list[Any]]:
    """Rides as columns, times in milliseconds since the beginning; `open` holds [t_ms, openness, …] of each."""
    rides: dict[str, dict[str, Any]] = {}
    for event in events:
        t_ms = round(1e3 * (event.at_s - begin_s))
        if isinstance(event, ev.RideRequested):
            place = (round(event.pickup.lat_deg, 6), round(event.pickup.lng_deg, 6))
            rides[event.ride_id] = {
                "at": place,
                "t_ms": t_ms,
                "picked_ms": None,
                "ended_ms": None,
                "end": None,
                "open": [],
            }
        ride = rides.get(event.ride_id)
        if ride is None:  # a log that begins in the middle of a day
            continue
        if (openness := _OPENNESS.get(type(event))) is not None:
            ride["open"] += [t_ms, openness]
        if isinstance(event, ev.RiderPickedUp):
            ride["picked_ms"] = t_ms
        if (end := _ENDS.get(type(event))) is not None:
            ride["ended_ms"], ride["end"] = t_ms, end
    names = ("t_ms", "picked_ms", "ended_ms", "end", "open")
    columns = {name: [ride[name] for ride in rides.values()] for name in names}
    lat_deg, lng_deg = ([ride["at"][axis] for ride in rides.values()] for axis in (0, 1))
    return {"ride_id": list(rides), "lat_deg": lat_deg, "lng_deg": lng_deg, **columns}
