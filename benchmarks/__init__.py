"""Benchmarks: `python -m benchmarks --help`. A module with `run(small, report)` is one; dropping a file in adds it."""
