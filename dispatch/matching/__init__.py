"""Choosing pairs: the policies and the assignment they share."""

from dispatch.matching.assignment import assign

__all__ = ["assign"]
