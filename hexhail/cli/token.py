"""`hexhail token`: tokens for trying things out, and revoking any."""

from __future__ import annotations

import asyncio
import getpass
import time
from typing import TYPE_CHECKING, Annotated

import typer

from hexhail.cli.console import fail, out

if TYPE_CHECKING:
    from api.auth.revocations import Revocation
    from hexhail.runtime.settings import Settings

token_app = typer.Typer(help="Sign a token for trying things out; `revoke` has any count no more.")


@token_app.callback(invoke_without_command=True)
def token(
    context: typer.Context,
    role: Annotated[str, typer.Option(help="rider, driver or operator")] = "",
    subject: Annotated[str, typer.Option(help="id of the rider, driver or operator")] = "me",
    hours: Annotated[float, typer.Option(help="how long it is good for", min=0.01, max=24 * 365)] = 1.0,
) -> None:
    """Sign a token with the key that signs now; `hexhail token revoke` has one count no more."""
    if context.invoked_subcommand is not None:
        return
    from api.auth.tokens import Role, Tokens
    from hexhail.runtime.settings import Settings
    from hexhail.runtime.token_keys import load_token_keys

    if not role:
        fail("say for whom: --role rider, driver or operator")
    try:
        tokens = Tokens(load_token_keys(Settings()))
        out.print(tokens.issue(Role(role), subject, hours * 3600), soft_wrap=True)
    except ValueError as error:
        fail(str(error))


@token_app.command()
def revoke(
    reason: Annotated[str, typer.Option(help="why; kept on record")],
    token: Annotated[str, typer.Option(help="the token itself")] = "",
    token_id: Annotated[str, typer.Option("--id", help="or its id, `jti`")] = "",
    role: Annotated[str, typer.Option(help="or, with --subject, of whom every token issued so far is revoked")] = "",
    subject: Annotated[str, typer.Option(help="id of the rider, driver or operator")] = "",
) -> None:
    """Have a token, or all of somebody's, count no more: every API process obeys within seconds, open streams end."""
    from hexhail.runtime.connections import DependencyMissing
    from hexhail.runtime.settings import Settings

    given = [bool(token), bool(token_id), bool(role or subject)]
    if sum(given) != 1 or bool(role) != bool(subject):
        fail("give one of --token, --id, or --role with --subject")
    settings = Settings()
    try:
        revocation = _revocation(settings, token, token_id, role, subject, reason)
        asyncio.run(_store(settings, revocation))
    except (ValueError, DependencyMissing) as error:
        fail(str(error))
    out.print(f"revoked {revocation.name}", soft_wrap=True)


def _revocation(settings: Settings, token: str, token_id: str, role: str, subject: str, reason: str) -> Revocation:
    """What the options ask for. Raises ValueError for a token that does not count anyway, or has no id."""
    from api.auth.revocations import revoke_subject, revoke_token
    from api.auth.tokens import Principal, Role, TokenInvalid, Tokens, is_id
    from hexhail.runtime.token_keys import load_token_keys

    by, now_s = getpass.getuser(), time.time()
    if role:
        if not is_id(subject):
            raise ValueError(f"{subject!r} is no id of a rider, driver or operator")
        return revoke_subject(Principal(Role(role), subject), now_s, by, reason)
    if token_id:
        return revoke_token(token_id, now_s, by, reason)
    try:
        grant = Tokens(load_token_keys(settings)).verify(token)
    except TokenInvalid as error:
        raise ValueError(f"nothing to revoke: the token is refused as it is, for {error}") from error
    if grant.token_id is None:
        whose = f"--role {grant.principal.role} --subject {grant.principal.id}"
        raise ValueError(f"the token has no jti: revoke all of its subject's with {whose}")
    return revoke_token(grant.token_id, now_s, by, reason, grant.expires_s)


async def _store(settings: Settings, revocation: Revocation) -> None:
    from api.auth.redis_revocations import RedisRevocations
    from api.auth.sql.revocations import LastingRevocations, SqlRevocations
    from hexhail.runtime.connections import connect_redis
    from hexhail.runtime.database import open_for_role

    redis = await connect_redis(settings)
    try:
        async with await open_for_role(settings, "token") as database:
            await LastingRevocations(SqlRevocations(database), RedisRevocations(redis)).add(revocation)
    finally:
        await redis.aclose()
