"""Every setting of a process and every key of a city's file, with default, unit and meaning."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from pydantic_core import PydanticUndefined

from hexhail.cities.sections import PARAMS
from hexhail.runtime.settings import Settings

#: Endings of names and the units that they stand for; longer ones first.
_UNITS = (
    ("_s_per_star", "seconds per star"), ("_s_per_cent", "seconds per minor unit"), ("_per_s", "per second"),
    ("_per_km", "per kilometre"), ("_mps", "m/s"), ("_deg", "degrees"), ("_cents", "minor units of the currency"),
    ("_m", "metres"), ("_s", "seconds"), ("_share", "0 to 1"),
)  # fmt: skip


def page() -> str:
    """The page, in Markdown."""
    return f"""# Configuration

Generated from the code. Settings say where things are and how a process runs; they come from the environment. What a
region is and how it is dispatched and priced stands in its `city.toml`, which `hexhail city check` reads as the
processes do.

## Settings

| variable | default | meaning |
|---|---|---|
{_settings()}

## The city's file

An absent key keeps its default. Durations are city seconds; a key ends in its unit. The section `[tariff]` has
[a page of its own](../tariff.md); `[source]` says where a city comes from and is read by people alone.

{_sections()}
"""


def _sections() -> str:
    return "\n".join(_section(params, f"[{params.SECTION}]") for params in PARAMS)


def _section(cls: type[Any], name: str) -> str:
    """A section, and after it those of its keys that are tables."""
    types, meanings = get_type_hints(cls), meanings_of(cls)
    rows, tables = [], []
    for field in fields(cls):
        if is_dataclass(types[field.name]):
            tables.append(_section(types[field.name], f"{name[:-1]}.{field.name}]"))
            continue
        kind = getattr(types[field.name], "__name__", str(types[field.name]))
        default = "required" if field.default is MISSING else f"`{json.dumps(field.default)}`"
        rows.append(f"| `{field.name}` | {kind} | {unit_of(field.name)} | {default} | {meanings.get(field.name, '')} |")
    about = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    table = "| key | type | unit | default | meaning |\n|---|---|---|---|---|\n" + "\n".join(rows)
    return "\n".join([f"### `{name}`\n\n{about}\n\n{table}\n", *tables])


def meanings_of(cls: type[Any]) -> dict[str, str]:
    """The comments `#:` above the fields of a dataclass. One that ends in an ellipsis goes on above the next field."""
    meanings: dict[str, str] = {}
    told: list[str] = []
    for line in inspect.getsource(cls).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            told.append(text.removeprefix("#:").strip())
        elif match := re.match(r"(\w+): ", text):
            if told:
                meanings[match[1]] = " ".join(told).replace("|", "\\|")
            told = []
    return meanings


def unit_of(key: str) -> str:
    """The unit that a key's name ends in, before `_min` and `_max`."""
    return next((unit for ending, unit in _UNITS if key.removesuffix("_max").removesuffix("_min").endswith(ending)), "")


def _settings() -> str:
    return "\n".join(
        f"| `HEXHAIL_{name.upper()}` | {_default(name, field)} | {field.description or ''} |"
        for name, field in Settings.model_fields.items()
    )


def _default(name: str, field: Any) -> str:
    if field.default is PydanticUndefined:
        return "as installed"
    if isinstance(field.default, Path) and field.default.is_absolute():
        return "the city that is shipped" if name == "city_dir" else "as installed"
    return f"`{field.default}`" if field.default not in (None, "", {}) else ""
