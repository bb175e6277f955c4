"""`hexhail token`: tokens for trying things out."""

from __future__ import annotations

from typing import Annotated

import typer

from hexhail.cli.console import fail, out


def token(
    role: Annotated[str, typer.Option(help="rider, driver or operator")],
    subject: Annotated[str, typer.Option(help="id of the rider, driver or operator")] = "me",
    hours: Annotated[float, typer.Option(help="how long it is good for", min=0.01, max=24 * 365)] = 1.0,
) -> None:
    """Sign a token with the first key of HEXHAIL_TOKEN_SECRETS."""
    from api.auth.tokens import Role, Tokens
    from hexhail.runtime.settings import Settings

    try:
        tokens = Tokens(Settings().key_ring())
        out.print(tokens.issue(Role(role), subject, hours * 3600))
    except ValueError as error:
        fail(str(error))
