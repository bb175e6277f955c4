"""Estimates trip durations without a search, from the great-circle distance and the mean speed of the roads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geo.distances import great_circle_m
from geo.roads.graph import RoadGraph
from kernel.points import Place

#: Road time over the time of the straight line at the roads' mean speed. Of 1,500 trips in Manhattan the
#: median is off by 1 %, half of them by less than 12 %, nine in ten by less than 40 %.
DETOUR = 1.3


class TripTimes:
    """Trip durations at the mean speed of a road graph: rough, and good enough for scores."""

    def __init__(self, graph: RoadGraph) -> None:
        is_open = np.isfinite(graph.travel_time_s) & (graph.travel_time_s > 0.0)
        total_s = float(graph.travel_time_s[is_open].sum())
        self._s_per_m = total_s / float(graph.length_m[is_open].sum()) if total_s > 0.0 else 0.0

    def of(self, pickup: Sequence[Place], dropoff: Sequence[Place]) -> NDArray[np.float64]:
        """Seconds of each trip, (m,)."""
        if not pickup:
            return np.zeros(0)
        from_lat, from_lng = zip(*[(place.lat_deg, place.lng_deg) for place in pickup], strict=True)
        to_lat, to_lng = zip(*[(place.lat_deg, place.lng_deg) for place in dropoff], strict=True)
        distance_m = great_circle_m(from_lat, from_lng, to_lat, to_lng)
        return np.asarray(distance_m * (DETOUR * self._s_per_m))
