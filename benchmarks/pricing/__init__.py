"""Benchmarks of pricing and surge."""
