"""A town on both sides of 180° lives as the same town elsewhere does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from api.routes.operator.city import roads_geojson
from dispatch import events as ev
from dispatch.matching.optimal import OptimalPolicy
from geo.city import City, Region
from geo.roads.graph import RoadGraph, Shapes
from simulator.day import Day
from simulator.day_params import DayParams
from simulator.reports.cell_maps import cell_maps
from simulator.streets.leg_corners import LegCorners
from simulator.streets.network import Streets
from simulator.streets.tracks import tracks_of
from tests.simulator.test_tracks import asked, happen
from tests.simulator.towns import STEP_DEG, crowded, small_town

WEST_DEG = 180.0 - 2.3 * STEP_DEG


@pytest.fixture(scope="module")
def fiji() -> RoadGraph:
    return small_town(WEST_DEG)


def east_of_180(lng_deg: Any) -> Any:
    """Degrees east of the town's west end."""
    return (np.asarray(lng_deg) - WEST_DEG + 180.0) % 360.0 - 180.0


def test_the_box_of_a_town_over_180_is_as_wide_as_the_town(fiji: RoadGraph) -> None:
    city = City(Region("town", "Town", "Pacific/Fiji", "FJD", 9, 9, 200.0, ""), fiji, {})
    bounds = city.bounds_deg
    assert bounds["west"] == pytest.approx(WEST_DEG)
    assert bounds["east"] == pytest.approx(WEST_DEG + 4 * STEP_DEG - 360.0)


def tracking_of(roads: RoadGraph) -> dict[str, Any]:
    inputs = crowded(roads, count=60, last_s=400, drivers=6)
    params = DayParams(seed=3, gps_noise_m=5.0)
    outcome = Day(inputs.city, inputs.requests, inputs.starts, OptimalPolicy(roads), params).run()
    assert outcome.fleet.tracking is not None
    return outcome.fleet.tracking.figures()


def test_simulated_cars_over_180_are_believed_as_elsewhere(town: RoadGraph, fiji: RoadGraph) -> None:
    there, here = tracking_of(town), tracking_of(fiji)
    assert here["pings_accepted"] == pytest.approx(there["pings_accepted"], rel=0.1)
    assert sum(here["pings_rejected"].values()) <= sum(there["pings_rejected"].values()) + 2
    assert here["error_m_mean"] == pytest.approx(there["error_m_mean"], abs=2.0)


def test_a_car_is_between_two_corners_on_both_sides_of_180(fiji: RoadGraph) -> None:
    streets = Streets(fiji)
    motion = streets.drive(streets.stand(0, 0.0), 4, 0.0, 1.0)
    lng_deg = [motion.at(now_s).lng_deg for now_s in np.linspace(0.0, motion.arrival_s, 9)]
    assert east_of_180(lng_deg) == pytest.approx(np.linspace(0.0, 4 * STEP_DEG, 9), abs=1e-9)
    assert (np.abs(lng_deg) <= 180.0).all()


def test_a_track_that_ends_on_the_way_over_180_ends_there(fiji: RoadGraph) -> None:
    # She set out at second 4 for a place four blocks of ten seconds away, and the log ends after two and a half.
    later = (ev.RideRequested, 29, asked(fiji)[0][2])
    tracks = tracks_of(happen(fiji, *asked(fiji, pickup=4, eta_s=40.0), later), fiji, {"d": 0})
    assert east_of_180(tracks.lng_e6[-3:] / 1e6) == pytest.approx(np.array([1.0, 2.0, 2.5]) * STEP_DEG, abs=1e-6)


def test_a_road_over_180_with_bends_is_driven_evenly() -> None:
    lng_deg = np.array([179.99, -179.99])
    shapes = Shapes.from_arrays([0, 1, 2], [0.0, 0.0], [179.995, 179.995])
    road = RoadGraph.from_arrays([0.0, 0.0], lng_deg, [0, 1], [1, 0], [2224.0] * 2, [200.0] * 2, shapes)
    share, _, _, _ = LegCorners(road).of(0, 1, 0.0, 179.99)
    assert share == pytest.approx([0.0, 0.25, 1.0])
    assert roads_geojson(road).count(b"180.01") == 1


def test_a_map_of_cells_over_180_has_the_size_of_its_cells() -> None:
    square = np.array([[0.0, 0.0], [0.0, 0.01], [0.01, 0.01], [0.01, 0.0]])
    turned = square + np.array([0.0, 179.995])
    turned[:, 1] = (turned[:, 1] + 180.0) % 360.0 - 180.0
    frames = [("now", np.array([1.5]))]
    assert cell_maps([turned], frames) == cell_maps([square], frames)
