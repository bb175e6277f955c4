"""The tools that pricing meets its ports with."""
