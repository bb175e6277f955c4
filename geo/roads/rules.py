"""Which OpenStreetMap ways a taxi may drive, in which directions and how fast. Pure.

Sources: the wiki pages Key:highway, Key:access, Key:oneway, Key:maxspeed and Default_speed_limits.
What is left out and why: docs/decisions/geo/021-openstreetmap-roads-without-turn-restrictions.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
}
LINK_KMH = {"motorway": 60.0, "trunk": 50.0, "primary": 45.0, "secondary": 40.0, "tertiary": 35.0}
# Mean speed as a share of the limit on an empty road, as in the car profile of OSRM.
SHARE_OF_LIMIT = 0.8
# A tagged limit outside these is a mistake.
LIMIT_KMH_MIN, LIMIT_KMH_MAX = 5.0, 150.0
KMH_PER_MPH = 1.609344

# From the most to the least specific: the first key that is tagged decides.
ACCESS_KEYS = ("taxi", "motorcar", "motor_vehicle", "vehicle", "access")
ACCESS_ALLOWED = {"yes", "designated", "permissive", "destination", "customers", "public", "official", "taxi"}
# Parts of a car park, somebody's drive, a fire lane: no through traffic and no pickups the network would miss.
SERVICE_DROPPED = {"driveway", "parking_aisle", "emergency_access", "drive-through", "parking"}
ONE_WAY_BY_NATURE = {"motorway", "motorway_link"}


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
    """A way that may be driven: free-flow km/h in its mapped direction and against it, 0 where forbidden."""

    forward_kmh: float
    backward_kmh: float


def judge(tags: Mapping[str, str], country: str | None = None) -> Drivable | str:
    """Return how a way may be driven, or the reason why it may not.

    ``tags`` are the way's; it must have a ``highway``. ``country`` is a two-letter code of COUNTRIES.
    """
    highway = tags["highway"]
    road_class = highway.removesuffix("_link")
    reason = _why_not(tags, road_class)
    if reason:
        return reason
    forward, backward = _directions(tags, highway)
    if not (forward or backward):
        return "direction changes with the time of day"
    return Drivable(
        forward_kmh=speed_kmh(tags, highway, country, "forward") if forward else 0.0,
        backward_kmh=speed_kmh(tags, highway, country, "backward") if backward else 0.0,
    )


def _why_not(tags: Mapping[str, str], road_class: str) -> str:
    if road_class not in CLASS_KMH:
        return "not a road for cars"
    if tags.get("area") == "yes":
        return "an area, not a line"
    if road_class == "service" and tags.get("service") in SERVICE_DROPPED:
        return "driveway or part of a car park"
    for key in ACCESS_KEYS:
        if key in tags:
            return "" if tags[key] in ACCESS_ALLOWED else "no public access"
    return ""


def _directions(tags: Mapping[str, str], highway: str) -> tuple[bool, bool]:
    """Whether cars may drive (in, against) the mapped direction."""
    value = tags.get("oneway:motorcar", tags.get("oneway:motor_vehicle", tags.get("oneway", "")))
    if value in {"-1", "reverse"}:
        return False, True
    if value in {"reversible", "alternating"}:
        return False, False
    if value in {"yes", "true", "1"}:
        return True, False
    by_nature = highway in ONE_WAY_BY_NATURE or tags.get("junction") in {"roundabout", "circular"}
    return True, value == "no" or not by_nature


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


def _default_limit(road_class: str, limits: Limits) -> float:
    if road_class == "motorway":
        return limits.motorway
    if road_class == "living_street":
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
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(km/h|kmh|kph|mph)?", value)
    if number:
        kmh = float(number[1]) * (KMH_PER_MPH if number[2] == "mph" else 1.0)
        return kmh if LIMIT_KMH_MIN <= kmh <= LIMIT_KMH_MAX else None
    zone = re.fullmatch(r"([A-Z]{2}):(motorway|rural|urban|living_street)", value)
    if zone:
        return float(getattr(COUNTRIES.get(zone[1], limits_of(country)), zone[2]))
    return 7.0 if value == "walk" else None
