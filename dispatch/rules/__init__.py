"""Pure rules: the life cycle, who is told what, and the invariants."""
