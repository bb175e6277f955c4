"""What one of the two regions has learned from its days: position values and the usual traffic."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dispatch.matching.value_learning import Transitions, learn_values
from geo.learning.traffic import EdgeSpeeds
from geo.roads.graph import RoadGraph

#: The region with learned files.
LEARNED = "harlem"
USE_OF_FILES = '\n[dispatch]\nvalues = "values.npz"\n\n[learned_traffic]\nprofile = "usual.npz"\n'


def learn(folder: Path) -> None:
    """Write position values and usual traffic of the roads that are in the folder now."""
    graph, one = RoadGraph.load(folder), np.array([0])
    EdgeSpeeds(graph).save(folder / "usual.npz")
    learn_values(Transitions(one, one * 1.0, one, one + 200.0, one + 1000.0), graph).save(folder / "values.npz")
