"""The command line, as its own help tells it."""

from __future__ import annotations

from typing import Any

import typer

from hexhail.cli.app import app


def page() -> str:
    """The page, in Markdown."""
    root = typer.main.get_command(app)
    return "# Command line\n\nGenerated from the commands' own help.\n\n" + _command(root, "hexhail", 2)


def _command(command: Any, name: str, level: int) -> str:
    help_text = (command.help or "").strip()
    parts = [f"{'#' * min(level, 4)} {name}\n\n{help_text}\n"]
    parameters = [_parameter(one) for one in command.params if getattr(one, "help", None) and not _is_help(one)]
    if parameters:
        parts.append("| option | default | meaning |\n|---|---|---|\n" + "\n".join(parameters) + "\n")
    for sub_name, sub_command in getattr(command, "commands", {}).items():
        parts.append(_command(sub_command, f"{name} {sub_name}", level + 1))
    return "\n".join(parts)


def _is_help(parameter: Any) -> bool:
    return "--help" in parameter.opts


def _parameter(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    name = (parameter.name or "").upper() if is_argument else ", ".join(parameter.opts)
    default = "required" if parameter.required else _default(parameter.default)
    meaning = str(getattr(parameter, "help", "")).replace("|", "\\|")
    return f"| `{name}` | {default} | {meaning} |"


def _default(value: object) -> str:
    return "" if value is None or value is False or callable(value) else f"`{value}`"
