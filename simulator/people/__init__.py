"""Riders and drivers of a simulated city: how they decide, move and behave."""
