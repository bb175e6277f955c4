"""The demo: a whole city on this machine, with a population of simulated riders and drivers."""
