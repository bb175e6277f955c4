"""People in a city: riders and drivers, how they decide and how they move. Pure: no clock, no waiting, no tool."""
