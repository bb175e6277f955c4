"""Benchmarks of position ingestion."""
