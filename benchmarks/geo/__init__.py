"""Benchmarks of cells, roads and travel times."""
