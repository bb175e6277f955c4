"""The road graph of a city: what is a road, how the graph is built, snapping and travel times."""
