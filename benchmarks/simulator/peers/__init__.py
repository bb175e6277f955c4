"""Other simulators, run on our inputs from one command, each in an environment of its own."""
