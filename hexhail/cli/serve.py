"""`hexhail serve`: one role in this process, or all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from hexhail.cli.console import fail, out
from hexhail.runtime.kernel_cache import use_kernel_cache

if TYPE_CHECKING:
    from hexhail.runtime.settings import Settings


def serve(
    role: Annotated[
        str | None, typer.Argument(help="api, ingester, matcher, pricer, relay or traffic; without it all")
    ] = None,
) -> None:
    """Serve a city: one role in this process, or all of them under a supervisor. Settings: HEXHAIL_… (see doctor)."""
    use_kernel_cache()
    from pydantic import ValidationError

    from hexhail.roles.registry import ROLES, run
    from hexhail.runtime.settings import Settings

    if role is not None and role not in ROLES:
        fail(f"there is no role {role!r}: choose one of {', '.join(ROLES)}", code=2)
    try:
        settings = Settings()
        if role is None:
            _serve_all(list(ROLES), settings)
        else:
            run(role, settings)
    except (ValidationError, ValueError, FileNotFoundError) as error:
        fail(str(error))


def _serve_all(roles: list[str], settings: Settings) -> None:
    from hexhail.cities.served import load_cities
    from hexhail.runtime.serve import serve_all
    from hexhail.runtime.supervisor import GaveUp

    load_cities(settings.city_folders)  # a wrong file is refused once, not by each process after its start
    try:
        asyncio.run(serve_all(roles, settings, out.print))
    except GaveUp as error:
        fail(str(error))
