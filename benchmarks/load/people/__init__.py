"""Riders and drivers as users of locust; loaded by the locust command alone, for it patches the standard library."""
