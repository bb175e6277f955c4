"""Pings in, believed positions out, into cells."""
