"""The `city.toml` of a city that was built from roads alone."""

from __future__ import annotations

import re
from pathlib import Path

from geo.city import CITY_FILE
from kernel.money import MINOR_UNIT_DIGITS

_OSM = "© OpenStreetMap contributors"

_TEMPLATE = """[region]
region_id = "{region_id}"
name = "{name}"
timezone = "{timezone}"
currency = "{currency}"
search_resolution = 8
surge_resolution = 8
off_road_m_max = 200.0
attribution = "{attribution}"

# A placeholder: what a ride costs here is yours to say.
[tariff]
currency = "{currency}"
base_cents = 250
per_km_cents = 125
per_minute_cents = 35
minimum_cents = 700
rounding_cents = 1
"""


def check_names(name: str, currency: str) -> None:
    """Raise ValueError for a name or currency that cannot stand in a city's file."""
    if currency not in MINOR_UNIT_DIGITS:
        raise ValueError(
            f"--currency must be a current currency of ISO 4217 in capital letters, such as USD, not {currency!r}"
        )
    if not name.isprintable() or any(sign in name for sign in '"\\'):
        raise ValueError(f"--name must be printable, without quotes and backslashes, not {name!r}")


def write_city_file(folder: Path, *, name: str, timezone: str, currency: str, is_osm: bool) -> bool:
    """Write `city.toml` unless there is one; returns whether it was written.

    Raises ValueError for a name or currency that cannot stand there.
    """
    check_names(name, currency)
    path = folder / CITY_FILE
    if path.exists():
        return False
    # It becomes part of Redis keys, where braces and colons have a meaning.
    region_id = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "city"
    text = _TEMPLATE.format(
        region_id=region_id,
        name=name,
        timezone=timezone,
        currency=currency,
        attribution=_OSM if is_osm else "",
    )
    path.write_text(text, encoding="utf-8")
    return True
