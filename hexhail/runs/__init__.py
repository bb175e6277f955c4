"""Runs on disk: simulating, exporting, comparing and replaying them."""
