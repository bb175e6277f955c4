"""Ends a process that cannot live any more with the tables, because a newer version has changed them."""

from __future__ import annotations

import asyncio
import signal

import structlog

from backing.retry import RestartNeeded
from backing.sql.database import Database
from backing.sql.migrate import NewerDatabase, Packages, applied, check_lives_with, newest_versions
from hexhail.runtime.database import SQL_PACKAGES

log = structlog.get_logger(__name__)

#: Wall seconds between two looks.
LOOK_EVERY_S = 10.0


async def check_schema(database: Database, packages: Packages = SQL_PACKAGES) -> None:
    """Look whether a newer version has brought the tables to where this process cannot live with them.

    Raises RestartNeeded then: the next start says what to do; and what the database raises.
    """
    present = await database.run(lambda: applied(database.dialect))
    try:
        check_lives_with(present, newest_versions(database.dialect, packages))
    except NewerDatabase as error:
        raise RestartNeeded(f"{error} This process must not go on.") from error


async def watch_schema(database: Database) -> None:
    """Look now and then, and have this process stop as SIGTERM would when it must not go on."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            await check_schema(database)
        except RestartNeeded as error:
            log.error("restart_needed", detail=str(error))  # noqa: TRY400 - the line says all there is
            signal.raise_signal(signal.SIGTERM)
            return
        except Exception as error:  # the database is away: others say so
            log.warning("schema_not_looked_at", error=repr(error))
