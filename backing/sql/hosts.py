"""Connecting to PostgreSQL by a URL of one host or several: each of them gets a time of its own.

asyncpg tries the hosts in turn within one time for all of them: a first host that takes connections and says nothing,
paused or cut off, would use it up, and the second one would never be asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from backing.sql.failures import is_outage

if TYPE_CHECKING:
    import asyncpg

#: Wall seconds for one host to take a connection; with TLS across a country it takes a tenth of one.
HOST_TIMEOUT_S = 3.0
#: For the last one, after which there is nobody to ask.
LAST_HOST_TIMEOUT_S = 10.0
DEFAULT_PORT = 5432
_HOST = re.compile(r"(\[[^\]]+\]|[^:]*)(?::(\d+))?")


def hosts_of(url: str) -> list[tuple[str, int]]:
    """The hosts and ports of a URL that names several, in order; empty for one that names one, or a socket's folder.

    Raises ValueError for what is no host.
    """
    parts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    if len(parts) == 1:
        return []
    hosts = []
    for part in parts:
        match = _HOST.fullmatch(part)
        if match is None or not match[1]:
            raise ValueError(f"{part!r} in the address of the database is no host or host:port")
        hosts.append((unquote(match[1].strip("[]")), int(match[2] or DEFAULT_PORT)))
    return hosts


def wanted_of(url: str) -> list[str | None]:
    """What a server must be, in the order of preference: `target_session_attrs` of the URL.

    Of several hosts the one that takes writes is meant, if the URL does not say. None leaves it to asyncpg.
    """
    said = parse_qs(urlsplit(url).query).get("target_session_attrs", [""])[-1]
    if not hosts_of(url):
        return [said or None]
    return ["standby", "any"] if said == "prefer-standby" else [said or "primary"]


async def connect(url: str, **options: Any) -> asyncpg.Connection:
    """A connection to the first host that answers in time and is what the URL asks for.

    Raises what the last host failed with if none of them is.
    """
    import asyncpg

    places: list[dict[str, Any]] = [{"host": host, "port": port} for host, port in hosts_of(url)] or [{}]
    tries = [place | {"target_session_attrs": wanted} for wanted in wanted_of(url) for place in places]
    for place in tries[:-1]:
        try:
            return await asyncpg.connect(url, **{"timeout": HOST_TIMEOUT_S} | options | place)
        except Exception as error:
            if not is_outage(error):
                raise
    return await asyncpg.connect(url, **{"timeout": LAST_HOST_TIMEOUT_S} | options | tries[-1])


def address_of(url: str) -> str:
    """A URL for people: without user and passwords."""
    parts = urlsplit(url)
    query = "&".join(part for part in parts.query.split("&") if "password" not in part.partition("=")[0])
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query).geturl()
