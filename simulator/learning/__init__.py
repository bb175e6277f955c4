"""The simulated day as a learning environment."""
