"""Benchmarks of matching and dispatch."""
