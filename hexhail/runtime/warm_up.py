"""Compiling the kernels once, so that every process finds them in the cache."""

from __future__ import annotations

from pathlib import Path


def warm_up(city_dir: Path) -> None:
    """Call every kernel that a live round, a quote or an ingested ping calls, on the city itself."""
    import numpy as np

    from dispatch.matching import assign
    from geo.city import load_city
    from geo.learning import map_matching
    from geo.roads.travel_times import nearest_by_road, path
    from location_ingest.kernels import load_kernels

    city = load_city(city_dir)
    graph = city.graph
    nodes, _ = graph.snap(graph.lat_deg[:2], graph.lng_deg[:2])
    nearest_by_road(graph, np.asarray(nodes), np.asarray(nodes[:1]), 1, 60.0)
    path(graph, 0, graph.node_count - 1)
    assign([0], [0], [1.0], 1, 1)
    load_kernels()
    map_matching.load_kernels(graph)
    _ = city.search_cells, city.surge_cells


if __name__ == "__main__":
    import sys

    warm_up(Path(sys.argv[1]))
