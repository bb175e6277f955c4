"""Many small regions as one grid, so that one call of the controller is many independent cases."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from geo import cells
from pricing.model.surge import SurgeParams
from pricing.rules import surge
from pricing.rules.grid import Reach, SurgeGrid
from pricing.rules.reach import as_the_crow_flies

# Round a cell whose parents differ, so that borrowing has several families.
CENTRE = int(cells.latlng_to_cells(40.75, -73.98, 8)[0])


def patch(steps: int = 2) -> SurgeGrid:
    """A disk of cells: 19 for two steps."""
    own = cells.disk(CENTRE, steps)
    return SurgeGrid.of(own, as_the_crow_flies(own, 120.0))


def side_by_side(one: SurgeGrid, copies: int) -> SurgeGrid:
    """The same region many times, nothing shared; cell ids are made up."""
    count = len(one)
    shift = np.arange(copies)[:, None] * count
    neighbour = np.where(one.neighbour < 0, -1, one.neighbour + shift[:, :, None]).reshape(-1, one.neighbour.shape[1])
    groups = one.ancestor.max(axis=1) + 1
    ancestor = np.concatenate([one.ancestor + number * groups[:, None] for number in range(copies)], axis=1)
    entries = len(one.reach.origin)
    offset = np.append(np.add.outer(np.arange(copies) * entries, one.reach.offset[:-1]).ravel(), copies * entries)
    reach = Reach(offset, (one.reach.origin + shift).ravel(), np.tile(one.reach.share, copies))
    return SurgeGrid(np.arange(copies * count, dtype=np.uint64), neighbour, ancestor, reach)


PATCH = patch()
#: Cases in one example.
COPIES = 50
REGIONS = side_by_side(PATCH, COPIES)

all_params = st.builds(
    SurgeParams,
    demand_elasticity=st.floats(0.2, 3.0),
    supply_elasticity=st.floats(0.2, 3.0),
    quote_weight=st.floats(0.01, 1.0),
    requests_per_driver=st.floats(0.2, 5.0),
    minimum_requests=st.floats(0.5, 20.0),
    prior_drivers=st.floats(0.1, 10.0),
    smoothing=st.floats(0.001, 2.0),
    neighbour_ratio_max=st.floats(1.05, 2.0),
    surge_step_max=st.floats(0.01, 0.5),
    surge_hysteresis=st.floats(0.005, 0.2),
    surge_floor=st.integers(40, 99).map(lambda hundredths: hundredths / 100),
    surge_cap=st.integers(101, 800).map(lambda hundredths: hundredths / 100),
)
seeds = st.integers(0, 2**32 - 1)


def some_counts(rng: np.random.Generator, size: int = len(REGIONS)) -> np.ndarray:
    """Counts as cities have them: mostly few or none, here and there very many."""
    counts = np.exp(rng.normal(0.0, 2.5, size))
    counts[rng.random(size) < rng.choice([0.1, 0.5, 0.9])] = 0.0
    return counts


def some_signals(rng: np.random.Generator) -> surge.Signals:
    return surge.Signals(some_counts(rng), some_counts(rng), REGIONS.reach.supply(np.floor(some_counts(rng))))


def some_prices(rng: np.random.Generator, params: SurgeParams) -> np.ndarray:
    """Log multipliers within every bound, rough ones and level ones."""
    anything = np.exp(rng.normal(0.0, rng.choice([0.1, 1.0]), len(REGIONS)))
    return surge.adopted_log_multiplier(REGIONS, anything, params)


def steepest(grid: SurgeGrid, value: np.ndarray) -> float:
    """The greatest difference between neighbours."""
    here, side = np.nonzero(grid.neighbour >= 0)
    return float(np.abs(value[here] - value[grid.neighbour[here, side]]).max())
