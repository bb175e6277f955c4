"""Which OpenStreetMap ways a taxi may drive, in which directions and how fast. Pure.

Sources: the wiki pages Key:highway, Key:maxspeed and Default_speed_limits. Access tags are read by `geo.roads.access`.
What is left out and why: docs/decisions/geo/021-openstreetmap-roads-without-turn-restrictions.md.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geo.roads.access import KEYS, directions, may_pass, names_taxis

# Speeds without obstacles where no limit is tagged, by class; links take the class they belong to.
CLASS_KMH = {
    "motorway": 110.0,
    "trunk": 85.0,
    "primary": 60.0,
    "secondary": 50.0,
    "tertiary": 45.0,
    "unclassified": 40.0,
    "residential": 30.0,
    "road": 30.0,
    "living_street": 12.0,
    "service": 15.0,
    "busway": 40.0,
    "pedestrian": 7.0,
}
# No roads for cars, but for taxis where a tag names them.
ONLY_IF_NAMED = {"busway", "pedestrian"}
LINK_KMH = {"motorway": 60.0, "trunk": 50.0, "primary": 45.0, "secondary": 40.0, "tertiary": 35.0}
# Mean speed as a share of the limit on an empty road, as in the car profile of OSRM.
SHARE_OF_LIMIT = 0.8
LIMIT_KEYS = ("maxspeed", "maxspeed:forward", "maxspeed:backward")
# A tagged limit outside these is a mistake, and so is a speed above in another source.
LIMIT_KMH_MIN, LIMIT_KMH_MAX = 5.0, 150.0
KMH_PER_MPH = 1.609344

# Parts of a car park, somebody's drive, a fire lane: no through traffic and no pickups the network would miss.
SERVICE_DROPPED = {"driveway", "parking_aisle", "emergency_access", "drive-through", "parking"}


@dataclass(frozen=True)
class Limits:
    """Default limits of a country in km/h, where no sign is tagged."""

    motorway: float
    rural: float
    urban: float
    living_street: float


# https://wiki.openstreetmap.org/wiki/Default_speed_limits (cars, dry road).
COUNTRIES = {
    "AT": Limits(130, 100, 50, 10),
    "CH": Limits(120, 80, 50, 20),
    "DE": Limits(130, 100, 50, 10),
    "ES": Limits(120, 90, 50, 20),
    "FI": Limits(120, 80, 50, 20),
    "FR": Limits(130, 80, 50, 20),
    "GB": Limits(70 * KMH_PER_MPH, 60 * KMH_PER_MPH, 30 * KMH_PER_MPH, 20 * KMH_PER_MPH),
    "IT": Limits(130, 90, 50, 30),
    "LI": Limits(120, 80, 50, 20),
    "NL": Limits(100, 80, 50, 15),
    "US": Limits(65 * KMH_PER_MPH, 55 * KMH_PER_MPH, 25 * KMH_PER_MPH, 15 * KMH_PER_MPH),
}
# Where the country is not known: the limits of most countries.
ANY_COUNTRY = Limits(120, 90, 50, 20)
RURAL_CLASSES = {"trunk", "primary", "secondary"}


@dataclass(frozen=True)
class Drivable:
    """A way that may be driven.

    Attributes:
        forward_kmh, backward_kmh: free-flow speeds in its mapped direction and against it, 0 where forbidden.
        has_wrong_limit: whether a tagged limit is none that a road has; the speed is then that of the class.
    """

    forward_kmh: float
    backward_kmh: float
    has_wrong_limit: bool = False


def judge(tags: Mapping[str, str], country: str | None = None, keys: Sequence[str] = KEYS) -> Drivable | str:
    """Return how a way may be driven, or the reason why it may not.

    ``tags`` are the way's; it must have a ``highway``. ``country`` is a two-letter code of COUNTRIES.
    ``keys`` are the access keys that count for taxis (`geo.roads.access.keys_of`).
    """
    highway = tags["highway"]
    reason = _why_not(tags, highway.removesuffix("_link"), keys)
    if reason:
        return reason
    forward, backward = directions(tags, keys)
    if highway in ONLY_IF_NAMED:
        forward &= names_taxis(tags, keys, "forward")
        backward &= names_taxis(tags, keys, "backward")
    if not (forward or backward):
        return "direction changes with the time of day" if "oneway" in tags else "no public access"
    return Drivable(
        forward_kmh=speed_kmh(tags, highway, country, "forward") if forward else 0.0,
        backward_kmh=speed_kmh(tags, highway, country, "backward") if backward else 0.0,
        has_wrong_limit=any(_is_wrong_limit(tags[key]) for key in LIMIT_KEYS if key in tags),
    )


def _why_not(tags: Mapping[str, str], road_class: str, keys: Sequence[str]) -> str:
    if road_class not in CLASS_KMH:
        return "not a road for cars"
    ways = ("forward", "backward")
    if road_class in ONLY_IF_NAMED and not any(names_taxis(tags, keys, way) for way in ways):
        return "not a road for cars"
    if tags.get("area") == "yes":
        return "an area, not a line"
    if road_class == "service" and tags.get("service") in SERVICE_DROPPED:
        return "driveway or part of a car park"
    if all(may_pass(tags, keys, way) is False for way in ways):
        return "no public access"
    return ""


def speed_kmh(tags: Mapping[str, str], highway: str, country: str | None, direction: str) -> float:
    """Return the free-flow km/h of a drivable way in a direction: from its limit if tagged, else by class and country.

    Raises ValueError for a country that is not in COUNTRIES.
    """
    limit = limit_kmh(tags.get(f"maxspeed:{direction}", tags.get("maxspeed", "")), country)
    if limit is not None:
        return limit * SHARE_OF_LIMIT
    road_class = highway.removesuffix("_link")
    usual = LINK_KMH[road_class] if highway.endswith("_link") and road_class in LINK_KMH else CLASS_KMH[road_class]
    return min(usual, _default_limit(road_class, limits_of(country)))


def _number_kmh(value: str) -> float | None:
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(km/h|kmh|kph|mph)?", value)
    return float(number[1]) * (KMH_PER_MPH if number[2] == "mph" else 1.0) if number else None


def _is_wrong_limit(text: str) -> bool:
    kmh = _number_kmh(text.split(";")[0].strip())
    return kmh is not None and not LIMIT_KMH_MIN <= kmh <= LIMIT_KMH_MAX


def _default_limit(road_class: str, limits: Limits) -> float:
    if road_class == "motorway":
        return limits.motorway
    if road_class in {"living_street", "pedestrian"}:
        return limits.living_street
    return limits.rural if road_class in RURAL_CLASSES else limits.urban


def limits_of(country: str | None) -> Limits:
    """Return the default limits of a country; None is anywhere. Raises ValueError for an unknown code."""
    if country is None:
        return ANY_COUNTRY
    if country not in COUNTRIES:
        raise ValueError(f"no default speeds for country {country!r}; known: {', '.join(sorted(COUNTRIES))}")
    return COUNTRIES[country]


def limit_kmh(text: str, country: str | None) -> float | None:
    """Read a maxspeed tag: "50", "25 mph", "CH:urban", "walk"; None where it gives no speed."""
    value = text.split(";")[0].strip()
    kmh = _number_kmh(value)
    if kmh is not None:
        return kmh if LIMIT_KMH_MIN <= kmh <= LIMIT_KMH_MAX else None
    zone = re.fullmatch(r"([A-Z]{2}):(motorway|rural|urban|living_street)", value)
    if zone:
        return float(getattr(COUNTRIES.get(zone[1], limits_of(country)), zone[2]))
    return 7.0 if value == "walk" else None
