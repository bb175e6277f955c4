"""Position values: learned from transitions, stored in a file, read by node and time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.matching.position_value import FORMAT_VERSION, PositionValue, ValueParams, cells_of_nodes
from dispatch.matching.value_learning import NEIGHBOUR_BINS, Transitions, learn_values, spread_fares
from geo.cells import parents
from geo.roads.graph import RoadGraph

#: One bin for the whole day, and counts that speak for themselves: V is the bare fixed point.
BARE = ValueParams(bin_s=86_400.0, prior_visits=1e-12)


def town(*lng_deg: Any) -> Any:
    """Nodes along a street, each in a cell of its own when a tenth of a degree apart."""
    nodes = len(lng_deg)
    lat_deg = np.full(nodes, 40.75)
    return RoadGraph.from_arrays(
        lat_deg, lng_deg, np.arange(nodes - 1), np.arange(1, nodes), [1.0] * (nodes - 1), [1.0] * (nodes - 1)
    )


THREE = town(-74.0, -73.9, -73.8)


def did(*rows: Any) -> Any:
    """Transitions as (node, at_s, next_node, next_s, fare_cents)."""
    node, at_s, next_node, next_s, fare = np.array(rows, float).T
    return Transitions(node.astype(int), at_s, next_node.astype(int), next_s, fare)


def value_of_rows_one_by_one(rows: Any, graph: Any, params: Any, sweeps: Any = 400) -> Any:
    """The slow reference: rows one by one, dictionaries of lists, means written out."""
    cell, number = cells_of_nodes(graph, params.resolution)
    parent = parents(cell, params.resolution - 1).tolist()
    bins, cells = params.bins, range(len(cell))
    reach = min(NEIGHBOUR_BINS, (bins - 1) // 2)
    value = {(c, b): 0.0 for c in cells for b in range(bins)}
    for _ in range(sweeps):
        heard: dict[Any, Any] = {}
        for node, at_s, next_node, next_s, fare in rows:
            steps = (next_s - at_s) / params.step_s
            paid_steps = max(1.0, steps)
            reward = fare / paid_steps * sum_of_discounts(params.discount, paid_steps)
            after = value[number[int(next_node)], int(next_s % 86_400 // params.bin_s)]
            begun = number[int(node)], int(at_s % 86_400 // params.bin_s)
            heard.setdefault(begun, []).append(reward + params.discount**steps * after)
        targets = [target for told in heard.values() for target in told]
        anywhere = sum(targets) / len(targets)

        def lent(members: Any, b: Any, heard: Any = heard) -> Any:
            total = weight = 0.0
            for step in range(-reach, reach + 1):
                for c in members:
                    told = heard.get((c, (b + step) % bins), [])
                    total += 0.5 ** abs(step) * sum(told)
                    weight += 0.5 ** abs(step) * len(told)
            return total, weight

        def toward(members: Any, b: Any, prior: Any, k: Any = params.prior_visits, lent: Any = lent) -> Any:
            total, weight = lent(members, b)
            return (total + k * prior) / (weight + k)

        value = {
            (c, b): toward([c], b, toward([o for o in cells if parent[o] == parent[c]], b, toward(cells, b, anywhere)))
            for c in cells
            for b in range(bins)
        }
    return np.array([[value[c, b] for b in range(bins)] for c in cells])


def sum_of_discounts(discount: Any, steps: Any) -> Any:
    return (1 - discount**steps) / (1 - discount)


def test_three_cells_converge_to_the_fixed_point_worked_out_by_hand() -> None:
    # 0 → 1 for 10.00 in one step, 1 → 2 for 20.00 in two, 2 waits a step and comes back to 0 for nothing in another.
    learned = learn_values(
        did((0, 0, 1, 200, 1000), (1, 200, 2, 600, 2000), (2, 600, 2, 800, 0), (2, 800, 0, 1000, 0)), THREE, BARE
    )
    g = 0.95
    # V2 = ½(g V2 + g V0), V1 = 1000(1 + g) + g² V2, V0 = 1000 + g V1
    back = 0.5 * g / (1 - 0.5 * g)
    v0 = (1000 + g * 1000 * (1 + g)) / (1 - g**3 * back)
    v2 = back * v0
    v1 = 1000 * (1 + g) + g**2 * v2
    assert learned.at([0, 1, 2], 0.0) == pytest.approx([v0, v1, v2], abs=1.0)


def test_a_place_where_riders_are_rarer_is_worth_less() -> None:
    rows = [(node, 0, 2, 200, 1000) for node in (0, 1)] + [(1, 0, 1, 200, 0)] * 5
    assert np.diff(learn_values(did(*rows), THREE, BARE).at([1, 0], 0.0)) > 100


def test_waiting_alone_is_worth_nothing() -> None:
    assert learn_values(did((0, 0, 0, 30, 0)), THREE).at([0, 1, 2], 0.0).max() == 0.0


def test_fares_of_long_trips_come_late() -> None:
    worth = spread_fares(np.array([1000.0, 1000.0, 1000.0]), np.array([50.0, 200.0, 400.0]), ValueParams())
    assert worth == pytest.approx([1000.0, 1000.0, 975.0])


def test_a_thin_cell_takes_its_value_from_its_parent() -> None:
    close = town(-73.99, -73.98, -73.8)  # the first two share a parent cell
    (_, number) = cells_of_nodes(close, 8)
    assert len(set(number.tolist())) == 3
    rows = [(0, 0, 0, 200, 1000)] * 40 + [(2, 0, 2, 200, 100)] * 40 + [(1, 0, 1, 200, 550)]
    rich, thin, poor = learn_values(did(*rows), close).at([0, 1, 2], 0.0)
    assert thin - poor > 0.9 * (rich - poor) / 2
    alone = learn_values(did(*rows), close, ValueParams(prior_visits=1e-9)).at([1], 0.0)
    assert thin > alone


def test_a_bin_without_data_takes_its_value_from_the_bins_beside_it() -> None:
    rows = [(0, 0, 0, 200, 1000)] * 40 + [(2, 0, 2, 200, 100)] * 40
    learned = learn_values(did(*rows), THREE)
    now, soon, far = (learned.at([0, 2], at_s) for at_s in (0.0, 3 * 600.0, 12 * 3600.0))
    assert far[0] == far[1]  # nothing is known of noon but the city's mean
    assert far[0] < soon[0] < now[0]
    assert now[1] < soon[1] < far[1]


def test_the_bins_before_and_after_midnight_are_neighbours() -> None:
    learned = learn_values(did(*[(0, 86_390, 0, 86_590, 1000)] * 40, (2, 86_390, 2, 86_590, 100)), THREE)
    first, last = learned.at([0, 0], [86_400.0 + 60.0, 86_400.0 - 60.0])
    assert learned.at([0], -1e-12) == last  # whose remainder is a whole day
    assert 0 < first < last * 1.001


# Each sweep of the reference leaves at most 0.7 ** (100 / 200) of the error: after 120 sweeps, none of half a cent.
# A move of 20 seconds would leave 0.965 of it per sweep, and the reference would not be done.
@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 80_000), st.integers(0, 3), st.integers(100, 3000), st.integers(0, 4000)
        ),
        min_size=1,
        max_size=12,
    )
)
def test_learning_equals_the_slow_reference(drawn: Any) -> None:
    graph, params = town(-73.99, -73.98, -73.9, -73.8), ValueParams(bin_s=7200.0, prior_visits=2.0, discount=0.7)
    rows = [(node, at_s, next_node, at_s + lasts_s, fare) for node, at_s, next_node, lasts_s, fare in drawn]
    learned = learn_values(did(*rows), graph, params)
    slow = value_of_rows_one_by_one(rows, graph, params, sweeps=120)
    np.testing.assert_allclose(learned.value_cents, slow, atol=0.5)


def test_the_gain_of_a_move_is_the_difference_of_values_in_seconds_of_earning() -> None:
    learned = learn_values(did((0, 0, 1, 200, 1000), (1, 200, 2, 600, 2000), (2, 600, 0, 1000, 0)), THREE, BARE)
    values = learned.at([0, 1, 2], 0.0)
    a_second = values.mean() * 0.05 / 200
    assert learned.earned_cents_per_s == pytest.approx(a_second)
    assert learned.move_gain_s([0, 1], [1, 0], [200.0, 60.0], 0.0) * a_second == pytest.approx(
        [values[1] - values[0], values[0] - values[1]]
    )


def test_without_fares_no_move_gains() -> None:
    assert learn_values(did((0, 0, 1, 30, 0)), THREE).move_gain_s([0, 1], [1, 2], [60.0, 60.0], 0.0).tolist() == [
        0.0,
        0.0,
    ]


@pytest.mark.parametrize("coin", [0.01, 110.0])
def test_gains_are_the_same_in_every_currency(coin: Any) -> None:
    rows = [(0, 0, 1, 200, 1000), (1, 200, 2, 600, 2000), (2, 600, 0, 1000, 300)]
    gains = [
        learn_values(did(*[(*row[:4], row[4] * unit) for row in rows]), THREE, BARE).move_gain_s(
            [0, 1], [1, 2], [60.0, 60.0], 0.0
        )
        for unit in (1000.0, 1000.0 * coin)
    ]
    np.testing.assert_allclose(gains[0], gains[1], rtol=0.02)


def test_values_come_back_from_their_file(tmp_path: Path) -> None:
    learned = learn_values(did((0, 0, 1, 200, 1000), (1, 200, 0, 600, 700)), THREE, ValueParams(prior_visits=3.0))
    learned.save(tmp_path / "values.npz")
    again = PositionValue.load(tmp_path / "values.npz", THREE)
    assert again.params == learned.params
    for name in ("cell", "cell_of_node", "value_cents", "visits"):
        assert np.array_equal(getattr(again, name), getattr(learned, name))
    assert [path.name for path in tmp_path.iterdir()] == ["values.npz"]


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    path = tmp_path / "values.npz"
    learn_values(did((0, 0, 1, 200, 1000)), THREE).save(path)
    return path


def test_values_of_another_city_are_refused(stored: Any) -> None:
    with pytest.raises(ValueError, match="learned in another city"):
        PositionValue.load(stored, town(-74.0, -73.9, -73.7))


def test_traffic_does_not_make_another_city(stored: Any) -> None:
    slow = THREE.with_travel_times(THREE.travel_time_s * 2)
    assert len(PositionValue.load(stored, slow).cell) == 3


def test_a_file_that_is_missing_or_broken_is_refused(stored: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="learn them with"):
        PositionValue.load(tmp_path / "none.npz", THREE)
    whole = stored.read_bytes()
    for broken in (b"", b"hello", whole[: len(whole) // 2]):
        stored.write_bytes(broken)
        with pytest.raises(ValueError, match="holds no position values"):
            PositionValue.load(stored, THREE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": FORMAT_VERSION + 1}, "format version"),
        ({"discount": 1.5}, "discount must lie between"),
        ({"bin_s": 1200.0}, "one for each cell and bin"),
        ({"resolution": 7}, "its cells are not those"),
        ({"value_cents": np.full((3, 144), np.nan)}, "value_cents must be finite"),
    ],
)
def test_a_file_that_does_not_fit_together_is_refused(stored: Any, change: Any, message: str) -> None:
    with np.load(stored) as file:
        content = {name: file[name] for name in file.files}
    np.savez(stored, **{**content, **change})
    with pytest.raises(ValueError, match=message):
        PositionValue.load(stored, THREE)


@pytest.mark.parametrize(
    ("name", "value"),
    [("discount", 1.0), ("step_s", 0.0), ("bin_s", 700.0), ("resolution", 16), ("prior_visits", float("nan"))],
)
def test_invalid_parameters_are_refused_on_construction(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        replace(ValueParams(), **{name: value})


def test_learning_from_no_transitions_is_refused() -> None:
    nothing = Transitions(np.zeros(0, int), np.zeros(0), np.zeros(0, int), np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="nothing to learn from"):
        learn_values(nothing, THREE)
    with pytest.raises(ValueError, match="of another city"):
        learn_values(did((3, 0, 0, 200, 1000)), THREE)
    with pytest.raises(ValueError, match="later than"):
        did((0, 200, 0, 200, 1000))
