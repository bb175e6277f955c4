"""Cities on disk: building, converting, loading and the cities that are shipped."""
