"""Comparing policies: paired differences and switchback experiments."""
