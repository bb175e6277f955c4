"""Every setting of a process and every key of a city's file, with default, unit and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from hexhail.runtime.settings import Settings


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
"""


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
