"""The Redis keys that pricing touches; the region in braces keeps them in one slot of a cluster."""

from __future__ import annotations


def cell(region_id: str, cell_name: str) -> str:
    """Hash: driver_id -> packed position (`geo.positions`). Read only."""
    return f"{{{region_id}}}:cell:{cell_name}"


def surge(region_id: str) -> str:
    """Hash: cell -> `<multiplier>|<updated_ms>`; and `frozen` while an operator holds all prices at 1.0."""
    return f"{{{region_id}}}:surge"


def totals(region_id: str) -> str:
    """Hash: counters that outlive a process; ours are `ride_events_consumed` and `quotes_consumed`."""
    return f"{{{region_id}}}:totals"


def seen(region_id: str) -> str:
    """Hash: ride_id -> last sequence counted."""
    return f"{{{region_id}}}:pricing:seen"


def seen_at(region_id: str) -> str:
    """Sorted set: ride_id by the time of its last event counted (ms), by which `seen` is kept small."""
    return f"{{{region_id}}}:pricing:seen_at"


def quotes_seen(region_id: str) -> str:
    """Hash: wish behind a quote (`wire.quote_ident`) -> 1."""
    return f"{{{region_id}}}:pricing:quotes_seen"


def quotes_seen_at(region_id: str) -> str:
    """Sorted set: the same wishes by the time they were heard of (ms)."""
    return f"{{{region_id}}}:pricing:quotes_seen_at"


def requests(region_id: str) -> str:
    """Hash: cell -> `<decayed count>|<counted_to_ms>`."""
    return f"{{{region_id}}}:pricing:requests"


def quotes(region_id: str) -> str:
    """Hash: the same of quotes."""
    return f"{{{region_id}}}:pricing:quotes"


def busy(region_id: str) -> str:
    """Hash: ride_id -> `<since_ms>|<driver_id>`, of drivers on live rides."""
    return f"{{{region_id}}}:pricing:busy"
