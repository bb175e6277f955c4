"""Tools of learned traffic."""
