"""Where OpenStreetMap's tags let a taxi pass: along ways in each direction, and through nodes. Pure.

Sources: the wiki pages Key:access, Key:psv, Key:oneway and Key:barrier. For a barrier without access tags the car
profiles of OSRM and GraphHopper were compared; where they differ, a barrier that usually stands open is open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# From the most to the least specific: the first key that is tagged decides. Without `psv` where taxis are none.
KEYS = ("taxi", "psv", "motorcar", "motor_vehicle", "vehicle", "access")
ALLOWED = {"yes", "designated", "permissive", "destination", "customers", "public", "official", "taxi"}
# Closed to a car by what they are, unless a tag says that taxis or cars may pass.
CLOSING_BARRIERS = {
    "block", "bollard", "bus_trap", "chain", "cycle_barrier", "debris", "fence", "full-height_turnstile",
    "hampshire_gate", "hedge", "horse_stile", "jersey_barrier", "kissing_gate", "log", "motorcycle_barrier",
    "planter", "rope", "stile", "sump_buster", "tank_trap", "turnstile", "wall", "wicket_gate", "yes",
}  # fmt: skip
ONE_WAY_BY_NATURE = {"motorway", "motorway_link"}


def keys_of(*, taxis_are_psv: bool) -> tuple[str, ...]:
    """Return the keys that count for taxis, from the most to the least specific."""
    return KEYS if taxis_are_psv else tuple(key for key in KEYS if key != "psv")


def may_pass(tags: Mapping[str, str], keys: Sequence[str], direction: str = "") -> bool | None:
    """Return whether access tags let a taxi pass; None where they say nothing.

    ``keys`` are those of `keys_of`. ``direction`` is "forward" or "backward" along a way: `motor_vehicle:backward` then
    counts before `motor_vehicle`.
    """
    value = _deciding(tags, keys, direction)[1]
    return None if value is None else _allows(value, keys)


def names_taxis(tags: Mapping[str, str], keys: Sequence[str], direction: str = "") -> bool:
    """Return whether the access tag that decides lets taxis pass as such, not all cars."""
    key, value = _deciding(tags, keys, direction)
    if value is None or not _allows(value, keys):
        return False
    return key in {"taxi", "psv"} or bool({"taxi", "psv"} & set(keys) & _words(value))


def directions(tags: Mapping[str, str], keys: Sequence[str]) -> tuple[bool, bool]:
    """Whether taxis may drive (in, against) the mapped direction of a way, by its one-way and its access tags.

    (False, False) where the direction changes with the time of day.
    """
    along = zip(_one_way(tags, keys), ("forward", "backward"), strict=True)
    forward, backward = (
        # `taxi:backward=yes` opens a one-way street: it can mean nothing else.
        (is_along and may_pass(tags, keys, direction) is not False)
        or any(
            _allows(tags[f"{key}:{direction}"], keys)
            for key in ("taxi", "psv")
            if key in keys and f"{key}:{direction}" in tags
        )
        for is_along, direction in along
    )
    return forward, backward


def closed_by(tags: Mapping[str, str], keys: Sequence[str]) -> str:
    """Return what closes a node to taxis: the kind of barrier or "access"; empty where they may pass."""
    barrier = tags.get("barrier", "")
    may = may_pass(tags, keys)
    if tags.get("locked") == "yes" and may is not True:
        return barrier or "access"
    if may is None:
        return barrier if barrier in CLOSING_BARRIERS else ""
    return "" if may else barrier or "access"


def _deciding(tags: Mapping[str, str], keys: Sequence[str], direction: str) -> tuple[str, str | None]:
    for key in keys:
        for name in (f"{key}:{direction}", key) if direction else (key,):
            if name in tags:
                return key, tags[name]
    return "", None


def _allows(value: str, keys: Sequence[str]) -> bool:
    """Whether any word of a list such as "bus;taxi" lets taxis pass."""
    words = _words(value)
    return bool(words & ALLOWED) or ("psv" in keys and "psv" in words)


def _words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(";")}


def _one_way(tags: Mapping[str, str], keys: Sequence[str]) -> tuple[bool, bool]:
    names = (*(f"oneway:{key}" for key in keys[:-1]), "oneway")
    value = next((tags[name].strip().lower() for name in names if name in tags), "")
    if value in {"-1", "reverse"}:
        return False, True
    if value in {"reversible", "alternating"}:
        return False, False
    if value in {"yes", "true", "1"}:
        return True, False
    by_nature = tags.get("highway") in ONE_WAY_BY_NATURE or tags.get("junction") in {"roundabout", "circular"}
    return True, value == "no" or not by_nature
