"""What a database says when it cannot be used, and which errors of asyncpg mean that."""

from __future__ import annotations


class DatabaseUnavailable(Exception):
    """The server is away, changes over to another one, or takes no work: nothing was written, a repeat may succeed.

    The message is the driver's own and may hold addresses.
    """


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost while COMMIT was under way: the transaction is stored as a whole or not at all.

    A repeat is safe where the transaction knows itself again, as by an idempotency key.
    """


#: Beginnings of SQLSTATE that speak of the server and not of the statement. A class has two characters.
_STATES_OF_OUTAGES = (
    "08",  # the connection could not be made or was lost; PgBouncer refuses by 08P01
    "25006",  # read-only: this was the primary before
    "28",  # only at a connection: the server that took over refuses the login
    "3D000",  # likewise: it has no such database
    "53",  # too many connections, no memory, disk full
    "57",  # shut down by an administrator or a crash, still starting, statement cancelled
    "58",  # the system under the server failed, such as its disk
)


def is_outage(error: BaseException) -> bool:
    """Whether an error that a call of asyncpg raised says that the server cannot be used at the moment."""
    import asyncpg

    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_STATES_OF_OUTAGES)
    if isinstance(error, asyncpg.InterfaceError):
        # Its other texts are about calls that are wrong. No attribute tells them apart.
        return any(word in str(error) for word in ("closed", "closing", "released back"))
    # No host of several is the primary; a socket that fails, TLS and names included; a time that ran out.
    return isinstance(error, asyncpg.TargetServerAttributeNotMatched | OSError | TimeoutError)


def said(error: BaseException) -> str:
    """The words of an error, or its name where it has none, such as a time that ran out."""
    return str(error) or type(error).__name__
