"""Inboxes: the ordered, replayable messages to each rider and driver."""
