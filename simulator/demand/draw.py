"""Draws the requests of a day from flows between zones: pickup node, dropoff node and time of each, from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from geo.arrays import FloatArray, IntArray
from geo.point_index import PointIndex
from geo.roads.graph import RoadGraph
from kernel.local_time import quarters_of_hour
from simulator.demand.requests import Requests
from simulator.demand.zone_flows import ZoneVolumes, balanced

#: Road nodes farther than this from every zone centre are not used: the zone volumes do not cover them.
ZONE_REACH_M = 3_000.0
QUARTER_S = 900.0
#: Parties of one, two, three and more, as New York's taxi meters counted them in a peak hour of November 2013.
PARTY_SHARES = (0.72, 0.13, 0.04, 0.11)


@dataclass(frozen=True)
class ZoneCorners:
    """The road nodes of each zone, those of zone i at `node[offset[i]:offset[i + 1]]`; every zone has one at least."""

    node: IntArray
    offset: IntArray

    @classmethod
    def of(cls, graph: RoadGraph, lat_deg: FloatArray, lng_deg: FloatArray) -> ZoneCorners:
        """Assign each node to the zone with the nearest centre, and to a zone without nodes the node nearest to it."""
        zone, distance_m = PointIndex.of(lat_deg, lng_deg).nearest(graph.lat_deg, graph.lng_deg)
        near = np.flatnonzero(distance_m <= ZONE_REACH_M)
        empty = np.setdiff1d(np.arange(lat_deg.shape[0]), zone[near])
        borrowed, _ = graph.snap(lat_deg[empty], lng_deg[empty]) if empty.size else (empty, None)
        zones, nodes = np.concatenate([zone[near], empty]), np.concatenate([near, borrowed])
        order = np.lexsort((nodes, zones))
        offset = np.searchsorted(zones[order], np.arange(lat_deg.shape[0] + 1))
        return cls(nodes[order], offset.astype(np.int64))

    def draw(self, zone: IntArray, generator: np.random.Generator) -> IntArray:
        """Draw a road node for each of (n,) zones, uniformly among the nodes of the zone."""
        count = self.offset[zone + 1] - self.offset[zone]
        return self.node[self.offset[zone] + (generator.random(zone.shape[0]) * count).astype(np.int64)]

    def share_a_corner(self) -> FloatArray:
        """1 for pairs of zones (z, z) that lie at one single corner, so that no trip is possible between them."""
        single = np.diff(self.offset) == 1
        first = self.node[self.offset[:-1]]
        both = (first[:, None] == first[None, :]) & single[:, None] & single[None, :]
        return np.asarray(both, np.float64)


def draw_day(
    graph: RoadGraph,
    corners: ZoneCorners,
    seed_flows: FloatArray,
    volumes: ZoneVolumes,
    day: date,
    timezone: str,
    generator: np.random.Generator,
) -> Requests:
    """Requests of a day that agree with the volumes: their number, their hours, their zones.

    In each hour as many as its pickups, rounded over the day so that the sum is right; pairs by `seed_flows` (z, z)
    balanced to the hour's totals; moments even over the time that the region's clocks show the hour, which they must
    (`ZoneVolumes.by_clocks`). Parties are drawn by `PARTY_SHARES`.
    """
    allowed = seed_flows * (1.0 - corners.share_a_corner())
    starts = np.rint(np.concatenate([[0.0], np.cumsum(volumes.pickups.sum(axis=1))])).astype(np.int64)
    t_s, pickup, dropoff = [], [], []
    for row, count in enumerate(np.diff(starts).tolist()):
        if not count or not volumes.dropoffs[row].sum() > 0.0:
            continue
        flows = balanced(allowed, volumes.pickups[row], volumes.dropoffs[row])
        pair = _draw_pairs(flows, count, generator)
        t_s.append(_moments(quarters_of_hour(day, int(volumes.hour[row]), timezone), generator.random(count)))
        begin, end = _draw_corners(corners, pair // flows.shape[1], pair % flows.shape[1], generator)
        pickup.append(begin)
        dropoff.append(end)
    return _requests(graph, np.concatenate(t_s), np.concatenate(pickup), np.concatenate(dropoff), generator)


def _moments(quarters_s: list[int], share: FloatArray) -> FloatArray:
    """Unix seconds (n,) at shares (n,) from 0 to below 1 of the time in quarters of an hour."""
    into = share * len(quarters_s)
    at = into.astype(np.int64)
    return np.asarray(np.array(quarters_s, np.float64)[at] + QUARTER_S * (into - at))


def draw_drivers(
    graph: RoadGraph, corners: ZoneCorners, volumes: ZoneVolumes, count: int, generator: np.random.Generator
) -> FloatArray:
    """Draw start places (count, 2) of drivers, in degrees, distributed as the pickups of the whole day."""
    shares = volumes.pickups.sum(axis=0)
    node = corners.draw(generator.choice(shares.shape[0], count, p=shares / shares.sum()), generator)
    return np.stack([graph.lat_deg[node], graph.lng_deg[node]], axis=1)


def _draw_pairs(flows: FloatArray, count: int, generator: np.random.Generator) -> IntArray:
    """Pairs of zones (count,) as places in the flattened flows."""
    edges = np.cumsum(flows.ravel())
    return np.asarray(np.searchsorted(edges, generator.random(count) * edges[-1], side="right"), np.int64)


def _draw_corners(
    corners: ZoneCorners, origin: IntArray, destination: IntArray, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Corners of both ends, never the same: a trip to where one stands is none."""
    pickup, dropoff = corners.draw(origin, generator), corners.draw(destination, generator)
    alike = np.flatnonzero(pickup == dropoff)
    while alike.size:
        pickup[alike] = corners.draw(origin[alike], generator)
        dropoff[alike] = corners.draw(destination[alike], generator)
        alike = alike[pickup[alike] == dropoff[alike]]
    return pickup, dropoff


def _requests(
    graph: RoadGraph, t_s: FloatArray, pickup: IntArray, dropoff: IntArray, generator: np.random.Generator
) -> Requests:
    order = np.argsort(t_s, kind="stable")
    party = generator.choice(np.arange(1, len(PARTY_SHARES) + 1, dtype=np.uint8), t_s.shape[0], p=PARTY_SHARES)
    place = np.stack([graph.lat_deg, graph.lng_deg], axis=1)
    return Requests(t_s[order], place[pickup[order]], place[dropoff[order]], party)
