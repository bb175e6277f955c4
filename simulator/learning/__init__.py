"""Reinforcement learning on the simulated day: environment, rewards and the policy that the agent steers."""
