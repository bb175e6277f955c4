"""Ride requests of a simulated day: read from files, drawn from zone totals, or resampled."""
