"""The ground that every decision stands on: cells, distances, roads and travel times. Pure: numbers in, numbers out."""
