from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from h3.api import basic_int as h3

from geo import cells

MANHATTAN = (40.7580, -73.9855)


def test_cells_are_those_of_h3() -> None:
    rng = np.random.default_rng(0)
    lat, lng = rng.uniform(-90, 90, 500), rng.uniform(-180, 180, 500)
    for resolution in (0, 5, 9, 15):
        expected = [h3.latlng_to_cell(a, b, resolution) for a, b in zip(lat, lng, strict=True)]
        found = cells.latlng_to_cells(lat, lng, resolution)
        assert found.dtype == np.uint64
        assert found.tolist() == expected


def test_cell_names_round_trip() -> None:
    cell = cells.latlng_to_cells(*MANHATTAN, 8)
    (name,) = cells.cells_to_strings(cell)
    assert name == h3.int_to_str(int(cell[0]))
    assert cells.string_to_cell(name) == int(cell[0])
    assert cells.resolution_of(int(cell[0])) == 8


def test_the_centre_of_a_cell_is_in_it_and_its_boundary_round_it() -> None:
    cell = cells.latlng_to_cells(*MANHATTAN, 8)
    lat, lng = cells.cell_to_latlng(cell)
    assert cells.latlng_to_cells(lat, lng, 8).tolist() == cell.tolist()
    corners = cells.cell_boundary(int(cell[0]))
    assert corners.shape == (6, 2)
    assert corners[:, 0].min() < lat[0] < corners[:, 0].max()


def test_parents_are_those_of_h3() -> None:
    cell = cells.latlng_to_cells([10.0, -30.0], [20.0, 170.0], 9)
    assert cells.parents(cell, 5).tolist() == [h3.cell_to_parent(int(one), 5) for one in cell]


@pytest.mark.parametrize("wrong", [0, 1, -5, 2**64, "", "zz", "8928308280fffff0"])
def test_invalid_cells_are_recognised(wrong: Any) -> None:
    assert not cells.is_valid_cell(wrong)


def test_invalid_input_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution"):
        cells.latlng_to_cells(0.0, 0.0, 16)
    with pytest.raises(ValueError, match="not an H3 cell"):
        cells.disk(12, 1)
    with pytest.raises(ValueError, match="steps"):
        cells.disk(int(cells.pentagons(3)[0]), -1)
    with pytest.raises(ValueError, match="not the name"):
        cells.string_to_cell("nowhere")
    with pytest.raises(ValueError, match="coarser"):
        cells.parents(cells.pentagons(3), 4)


def test_the_compiled_calls_and_the_python_api_agree_everywhere() -> None:
    rng = np.random.default_rng(4)
    lat, lng = rng.uniform(-90, 90, 400), rng.uniform(-180, 180, 400)
    for resolution in (0, 1, 4, 8, 15):
        some = cells._cells_by_api(lat, lng, resolution)
        assert np.array_equal(cells._cells_compiled(lat, lng, resolution), some)
        assert np.allclose(cells._centres_compiled(some), cells._centres_by_api(some), rtol=0, atol=1e-9)
        assert np.array_equal(cells._parents_compiled(some, 0), cells._parents_by_api(some, 0))
        few = np.concatenate([some[:10], cells.pentagons(resolution)])
        mine, mine_steps = cells._disks_compiled(few, 3)
        theirs, their_steps = cells._disks_by_api(few, 3)
        assert np.array_equal(mine_steps, their_steps)
        assert np.array_equal(np.sort(mine, axis=1), np.sort(theirs, axis=1))


def test_the_call_path_in_use_has_a_reason() -> None:
    assert cells.path_in_use().reason


def test_the_python_api_is_used_if_a_c_function_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_parents_compiled", lambda some, resolution: some)
    decided = cells.path_in_use.__wrapped__()
    assert not decided.is_compiled
    assert "cellToParent" in decided.reason


def test_a_build_without_the_c_functions_uses_the_python_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells.h3_calls, "C_FUNCTIONS", ("notThere",))
    decided = cells.path_in_use.__wrapped__()
    assert not decided.is_compiled
    assert "does not export" in decided.reason


def test_cells_are_numbered_in_ascending_order() -> None:
    some = cells.latlng_to_cells([10.0, -30.0, 10.0], [20.0, 170.0, 20.0], 9)
    numbers = cells.CellNumbers.of(some)
    assert np.array_equal(numbers.cell, np.unique(some))
    assert numbers.find(np.append(some, cells.pentagons(9)[0])).tolist() == [
        *np.searchsorted(numbers.cell, some).tolist(),
        -1,
    ]
    assert cells.CellNumbers.of([]).find(some[None]).tolist() == [[-1, -1, -1]]
