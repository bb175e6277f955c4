"""Builds a region's tariff from the parsed sections of its `city.toml`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import time
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from geo import cells
from pricing.errors import FieldWrong
from pricing.model.tariff import AtDropoff, DriverShare, NoShow, Surcharge, Tariff, Tax, Zone, zone_of

T = TypeVar("T")
#: `FieldWrong.found` of a key that is not there, and of a key that nothing reads.
MISSING = "missing"
UNKNOWN_KEY = "not a key of this section"
#: What the file calls a field of a class.
_KEY_OF = {
    "from_s": "from",
    "until_s": "until",
    "is_taxed": "taxed",
    "is_drivers": "to_driver",
    "is_included": "included",
}


def region_tariff_of(sections: Mapping[str, Any]) -> Tariff:
    """Return the tariff, once it also fits the section [region]. Raises FieldWrong."""
    tariff = tariff_of(sections)
    _check_region(_table(sections, "region", ()), tariff)
    return tariff


def tariff_of(sections: Mapping[str, Any]) -> Tariff:
    """Return the tariff in the sections of a city file. Raises FieldWrong, whose path begins with the section."""
    values = dict(_table(sections, "tariff", ()))
    values["surge_on"] = _strings(values, "surge_on", Tariff.surge_on, ("tariff",))
    values["zones"] = _zones(values.get("zones", {}))
    values["surcharges"] = _surcharges(values.get("surcharges", []))
    for key, kind in (("tax", Tax), ("at_dropoff", AtDropoff), ("no_show", NoShow), ("driver", DriverShare)):
        if key in values:
            values[key] = _built(kind, _table(values, key, ("tariff",)), "tariff", key)
    return _built(Tariff, values, "tariff")


def _check_region(region: Mapping[str, Any], tariff: Tariff) -> None:
    """Raise FieldWrong if the region's clock is unknown, or its currency is not the tariff's."""
    timezone, currency = region.get("timezone", MISSING), region.get("currency", MISSING)
    try:
        ZoneInfo(timezone)
    # What zoneinfo raises for names that are none depends on what is wrong with them.
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise FieldWrong("timezone", timezone, "an IANA time zone, such as Europe/Vaduz", ("region",)) from error
    if currency != tariff.currency:
        expected = f"the region's currency, which is {currency}"
        raise FieldWrong("currency", tariff.currency, expected, ("tariff",))


def _zones(section: Any) -> tuple[Zone, ...]:
    if not isinstance(section, dict):
        raise FieldWrong("zones", section, "a section [tariff.zones] with lists of cells", ("tariff",))
    zones = []
    for name in sorted(section):
        resolution_of: dict[str, int] = {}
        for cell in _strings(section, name, (), ("tariff", "zones")):
            try:
                number = cells.string_to_cell(cell)
                resolution_of[cells.cells_to_strings([number])[0]] = cells.resolution_of(number)
            except ValueError as error:
                expected = "H3 cells as hex, such as 882a100d65fffff"
                raise FieldWrong(name, cell, expected, ("tariff", "zones")) from error
        try:
            zones.append(zone_of(name, resolution_of))
        except FieldWrong as error:
            raise error.under("tariff", "zones") from error
    return tuple(zones)


def _surcharges(section: Any) -> tuple[Surcharge, ...]:
    if not (isinstance(section, list) and all(isinstance(entry, dict) for entry in section)):
        raise FieldWrong("surcharges", section, "sections [[tariff.surcharges]]", ("tariff",))
    return tuple(_surcharge(entry, number) for number, entry in enumerate(section))


def _surcharge(entry: Mapping[str, Any], number: int) -> Surcharge:
    path = ("tariff", "surcharges", number)
    values = dict(entry)
    if "weekdays" in values:
        values["weekdays"] = _strings(values, "weekdays", (), path)
    for key in ("from", "until"):
        if key in values:
            values[key] = _seconds_of_day(values[key], key, path)
    return _built(Surcharge, values, *path)


def _seconds_of_day(value: Any, key: str, path: tuple[str | int, ...]) -> float:
    if not isinstance(value, time) or value.tzinfo is not None:
        raise FieldWrong(key, value, "a local time without quotes, such as 22:00:00", path)
    return value.hour * 3600.0 + value.minute * 60.0 + value.second


def _built(kind: type[T], values: Mapping[str, Any], *path: str | int) -> T:
    """An instance of the class out of the table at ``path``. Raises FieldWrong with the whole path."""
    known = {_KEY_OF.get(field.name, field.name): field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise FieldWrong(key, UNKNOWN_KEY, f"only {', '.join(known)}", path)
    for key, field in known.items():
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING and key not in values:
            raise FieldWrong(key, MISSING, f"{key} in [{'.'.join(map(str, path))}]", path)
    try:
        return kind(**{known[key].name: value for key, value in values.items()})
    except FieldWrong as error:
        *inner, name = error.path
        raise FieldWrong(_KEY_OF.get(str(name), str(name)), error.found, error.expected, (*path, *inner)) from error


def _table(values: Mapping[str, Any], key: str, path: tuple[str | int, ...]) -> Mapping[str, Any]:
    table = values.get(key, MISSING)
    if not isinstance(table, dict):
        raise FieldWrong(key, table, f"a section [{'.'.join(map(str, (*path, key)))}]", path)
    return table


def _strings(
    values: Mapping[str, Any], key: str, default: tuple[str, ...], path: tuple[str | int, ...]
) -> tuple[str, ...]:
    listed = values.get(key, default)
    if not (isinstance(listed, list | tuple) and all(isinstance(entry, str) for entry in listed)):
        raise FieldWrong(key, listed, "a list of words in quotes", path)
    return tuple(listed)
