"""Benchmarks of simulated days, beside other simulators."""
