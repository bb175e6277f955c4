"""The report page: its SVG is generated here, so the tests parse it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from simulator.reports.cell_maps import cell_maps
from simulator.reports.plot import Curve, curves, stacked

CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    "svg",
    [
        curves([Curve("a & b", np.arange(1000.0), np.arange(1000.0) ** 2, "#000")], x_unit="s"),
        curves([Curve("nothing", np.zeros(0), np.zeros(0), "#000")], x_unit="s"),
        curves([Curve("flat", np.zeros(3), np.zeros(3), "#000")], x_unit="s"),
        stacked(np.arange(5.0), [("one", np.ones(5), "#111"), ("two", np.ones(5), "#222")], x_unit="min"),
        stacked(np.zeros(1), [("one", np.zeros(1), "#111")], x_unit="min"),
        cell_maps([CORNERS, CORNERS + 1.0], [("<now>", np.array([0.9, 3.0]))]),
        cell_maps([], []),
    ],
)
def test_every_picture_is_whole_and_without_holes(svg: Any) -> None:
    assert ET.fromstring(svg).tag == "svg"
    assert "nan" not in svg
    assert "inf" not in svg


def test_a_curve_ends_in_the_corners_of_its_axes() -> None:
    svg = curves([Curve("line", np.array([0.0, 10.0]), np.array([0.0, 1.0]), "#000")], x_unit="s", y_top=1.0)
    path = next(element.attrib["d"] for element in ET.fromstring(svg) if element.attrib.get("stroke") == "#000")
    assert path == "M46.0 230.0L510.0 26.0"


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    svg = curves([Curve("line", np.arange(1e5), np.arange(1e5), "#000")], x_unit="s")
    path = next(element.attrib["d"] for element in ET.fromstring(svg) if element.attrib.get("stroke") == "#000")
    assert path.count("L") < 400
    assert path.endswith("510.0 26.0")


def test_cells_are_drawn_north_up_and_redder_at_higher_multipliers() -> None:
    drawn = cell_maps([CORNERS, CORNERS + 1.0], [("now", np.array([1.0, 3.0]))])
    south, north = (cell for cell in ET.fromstring(drawn).iter("path"))
    first_y = [float(cell.attrib["d"].removeprefix("M").split("L")[0].split()[1]) for cell in (south, north)]
    assert first_y == [150.0, 75.0]
    assert [cell.attrib["fill"] for cell in (south, north)] == ["rgb(221,226,231)", "rgb(176,28,18)"]
