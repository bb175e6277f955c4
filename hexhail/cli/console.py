"""Console output of the commands."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Print an error message and exit with status `code`."""
    err.print(f"[bold red]error:[/] {escape(message)}")
    raise typer.Exit(code)
