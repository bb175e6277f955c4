"""Matches sparse pings to the edges that cars drove, and when: the input of learned traffic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from geo.arrays import BoolArray, FloatArray, IntArray, coordinates, float_vector
from geo.distances import great_circle_m, m_to_chord, unit_vectors
from geo.kernels.map_matching import far_enough, match_tracks, trace_steps
from geo.roads.graph import RoadGraph
from geo.roads.snap import EdgeIndex


@dataclass(frozen=True)
class MatchParams:
    """How pings are matched. Chosen on the San Francisco cabs.

    See docs/decisions/geo/022-learn-speeds-from-pings-durations-from-trips.md.

    Attributes:
        candidates: edges considered for a ping; 2 cover both directions of the nearest street.
        off_road_m_max: a ping farther than this from every edge is not matched.
        stray_m: standard deviation of a ping's distance from its edge.
        detour_m: mean excess of a route's length over the straight line.
        gap_s_max: pings farther apart in time are not connected.
        speed_mps_max: steps faster than this are discarded.
        step_m: least distance between two pings that are used, see `spaced_pings`.
    """

    candidates: int = 4
    off_road_m_max: float = 150.0
    stray_m: float = 30.0
    detour_m: float = 100.0
    gap_s_max: float = 120.0
    speed_mps_max: float = 35.0
    step_m: float = 100.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")


# The search for a route is limited to this multiple of the straight line plus this many metres.
REACH_FACTOR, REACH_M = 2.0, 500.0


@dataclass(frozen=True)
class Drives:
    """Steps from ping to ping, and the parts of edges driven in each.

    Attributes:
        ping: (s,) the ping at which each step began, as its place among the pings.
        started_s, elapsed_s: (s,) when each step began and how long it took.
        step: (q,) the step of each part, ascending.
        edge: (q,) the edge of each part.
        free_flow_s: (q,) seconds of each part on an empty road.
    """

    ping: IntArray
    started_s: FloatArray
    elapsed_s: FloatArray
    step: IntArray
    edge: IntArray
    free_flow_s: FloatArray

    @classmethod
    def joined(cls, parts: "Sequence[Drives]") -> "Drives":
        """Concatenate the steps of all parts."""
        before = np.cumsum([0, *(part.started_s.shape[0] for part in parts)])
        if not parts:
            places, numbers = np.empty(0, np.int64), np.empty(0)
            return cls(places, numbers, numbers, places, places, numbers)
        return cls(
            np.concatenate([part.ping for part in parts]),
            np.concatenate([part.started_s for part in parts]),
            np.concatenate([part.elapsed_s for part in parts]),
            np.concatenate([part.step + first for part, first in zip(parts, before[:-1], strict=True)]),
            np.concatenate([part.edge for part in parts]),
            np.concatenate([part.free_flow_s for part in parts]),
        )

    def of_pings(self, rows: IntArray) -> "Drives":
        """Return the same steps with pings renumbered as ``rows`` of a longer list."""
        return replace(self, ping=rows[self.ping])

    def where(self, is_kept: BoolArray) -> "Drives":
        """Return the steps for which ``is_kept (s,)`` is true, renumbered."""
        number = np.cumsum(is_kept) - 1
        parts = is_kept[self.step]
        return Drives(
            self.ping[is_kept],
            self.started_s[is_kept],
            self.elapsed_s[is_kept],
            number[self.step[parts]],
            self.edge[parts],
            self.free_flow_s[parts],
        )


def spaced_pings(
    vehicle: npt.ArrayLike,
    t_s: npt.ArrayLike,
    lat_deg: npt.ArrayLike,
    lng_deg: npt.ArrayLike,
    params: MatchParams | None = None,
) -> BoolArray:
    """Return which pings (n,), sorted by vehicle and time, to match: those at least ``step_m`` apart.

    Over such a distance the error of a receiver matters little. A standing car has no ping until it has moved on: a
    stop of up to ``gap_s_max`` counts as slow driving, a longer one as parking.
    """
    chosen = params or MatchParams()
    follows = _follows(np.asarray(vehicle), float_vector("t_s", t_s), chosen.gap_s_max)
    return far_enough(unit_vectors(lat_deg, lng_deg), follows, m_to_chord(chosen.step_m))


def match_pings(
    graph: RoadGraph,
    index: EdgeIndex,
    vehicle: npt.ArrayLike,
    t_s: npt.ArrayLike,
    lat_deg: npt.ArrayLike,
    lng_deg: npt.ArrayLike,
    params: MatchParams | None = None,
) -> Drives:
    """Match pings (n,), sorted by vehicle and time, to the edges driven between them.

    ``graph`` has free-flow travel times; ``index`` belongs to the same graph. Vehicles are integers.
    Raises ValueError for vectors of different lengths or invalid coordinates.
    """
    chosen_params = params or MatchParams()
    lat, lng = coordinates(lat_deg, lng_deg)
    vehicles, times_s = np.asarray(vehicle), float_vector("t_s", t_s)
    if not vehicles.shape == times_s.shape == lat.shape:
        raise ValueError(f"{vehicles.shape[0]} vehicles, {times_s.shape[0]} times and {lat.shape[0]} places")
    follows = _follows(vehicles, times_s, chosen_params.gap_s_max)
    straight_m = np.zeros(lat.shape[0])
    straight_m[1:] = great_circle_m(lat[:-1], lng[:-1], lat[1:], lng[1:])
    near = index.nearest(lat, lng, chosen_params.off_road_m_max, chosen_params.candidates)
    by_length = (graph.leaving.offset, graph.leaving.neighbour, graph.length_m[graph.leaving.edge])
    ends = (graph.source, graph.target, graph.length_m)
    scales = (chosen_params.stray_m, chosen_params.detour_m, REACH_FACTOR, REACH_M)
    chosen = match_tracks(by_length, ends, (near.edge, near.share, near.distance_m), straight_m, follows, scales)
    is_step = follows & (chosen >= 0)
    is_step[1:] &= chosen[:-1] >= 0
    at = np.flatnonzero(is_step)
    row = np.arange(lat.shape[0])
    edge, share = near.edge[row, chosen], near.share[row, chosen]
    steps = (edge[at - 1], share[at - 1], edge[at], share[at])
    traced = trace_steps(by_length, graph.leaving.edge, ends, steps, REACH_FACTOR * straight_m[at] + REACH_M)
    return _plausible_drives(
        graph, at - 1, times_s[at - 1], times_s[at] - times_s[at - 1], traced, chosen_params.speed_mps_max
    )


def load_kernels(graph: RoadGraph) -> None:
    """Compile the kernels of matching or load them from the cache; holds the interpreter lock for up to a minute."""
    tracks = ([0, 0], [0.0, 60.0], graph.lat_deg[[0, -1]], graph.lng_deg[[0, -1]])
    spaced_pings(*tracks)
    match_pings(graph, EdgeIndex.of(graph), *tracks)


def _follows(vehicle: npt.NDArray[np.generic], t_s: FloatArray, gap_s_max: float) -> BoolArray:
    follows = np.zeros(t_s.shape[0], np.bool_)
    gap_s = np.diff(t_s)
    follows[1:] = (vehicle[1:] == vehicle[:-1]) & (gap_s > 0.0) & (gap_s <= gap_s_max)
    return follows


def _plausible_drives(
    graph: RoadGraph,
    ping: IntArray,
    started_s: FloatArray,
    elapsed_s: FloatArray,
    traced: tuple[IntArray, npt.NDArray[np.int32], FloatArray],
    speed_mps_max: float,
) -> Drives:
    """Return the steps as drives, without those that stand still, are too fast, or use a closed road."""
    offset, edge, metres = traced
    step = np.repeat(np.arange(started_s.shape[0]), np.diff(offset))
    pace = np.divide(graph.travel_time_s, graph.length_m, out=np.zeros(graph.edge_count), where=graph.length_m > 0.0)
    free_flow_s = metres * pace[edge]
    way_m = np.bincount(step, metres, started_s.shape[0])
    way_s = np.bincount(step, free_flow_s, started_s.shape[0])
    # Less than two seconds of driving in a step is GPS noise of a parked car.
    is_plausible = (way_s > 2.0) & np.isfinite(way_s) & (way_m < speed_mps_max * elapsed_s)
    return Drives(ping, started_s, elapsed_s, step, edge.astype(np.int64), free_flow_s).where(is_plausible)
