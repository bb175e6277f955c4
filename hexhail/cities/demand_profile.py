"""The usual demand of a day by quarter-hour and zone: learned from recorded requests, kept in one file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zipfile import BadZipFile
from zoneinfo import ZoneInfo

import numpy as np

from geo.array_files import save_arrays
from geo.arrays import CellArray, FloatArray
from geo.city import City
from geo.roads.graph import LearnedElsewhere
from geo.zones import Zones
from pricing.rules.forecast import QUARTER_S, profile_of
from simulator.demand.inputs import PlacedRequests


@dataclass(frozen=True, slots=True, eq=False)
class DemandProfile:
    """Usual requests (96, z) of each quarter of a day in each zone, and the H3 cells (z,) of the zones."""

    requests: FloatArray
    cell: CellArray

    def save(self, path: Path) -> None:
        """Write the file as a whole."""
        save_arrays(path, {"requests": self.requests, "cell": self.cell})

    @classmethod
    def load(cls, path: Path, city: City, zones: Zones) -> DemandProfile:
        """Read a file. Raises ValueError if it cannot be read, LearnedElsewhere if it is of other zones."""
        try:
            with np.load(path) as held:
                profile = cls(held["requests"], held["cell"])
        except (BadZipFile, KeyError, EOFError, OSError, ValueError) as error:
            raise ValueError(f"{path} is no demand profile ({error}): run hexhail city learn-demand again") from error
        if not np.array_equal(profile.cell, city.surge_cells[zones.surge_index]):
            raise LearnedElsewhere(f"{path} is of another map than the city's: run hexhail city learn-demand again")
        return profile


def learn(city: City, requests: PlacedRequests) -> tuple[DemandProfile, int]:
    """Return the profile of recorded requests, and on how many days there were any. Raises ValueError for none."""
    if not len(requests):
        raise ValueError("there are no requests to learn from")
    zones, zone_info = Zones.of(city), ZoneInfo(city.region.timezone)
    moments = [datetime.fromtimestamp(at_s, zone_info) for at_s in requests.asked.t_s.tolist()]
    quarter = np.array([(moment.hour * 3600 + moment.minute * 60) // int(QUARTER_S) for moment in moments])
    days = len({moment.date() for moment in moments})
    counts = profile_of(quarter, zones.of_node[requests.pickup_node], len(zones), days)
    return DemandProfile(counts, city.surge_cells[zones.surge_index]), days
