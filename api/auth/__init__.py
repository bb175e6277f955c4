"""Authentication: signed tokens and roles."""
