"""Pure rules: the life cycle of rides, who may be asked, who receives which event, and the invariants."""
