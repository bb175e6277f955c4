"""Learned traffic: travel times of edges from where drivers were seen, checked before they are put in force."""
