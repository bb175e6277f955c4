"""What is learned about roads from positions and trips: map matching, traffic speeds, trip durations."""
