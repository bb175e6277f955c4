"""Benchmarks of the API's edges."""
