"""Keeps a process's revocations as those of all processes: it asks for news each second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from api.auth.revocations import Revocation, Revocations
from api.auth.tokens import Grant

log = structlog.get_logger(__name__)

#: Wall seconds between two looks: a revocation is obeyed by every process within about so long.
LOOK_EVERY_S = 1.0


class RevocationStore(Protocol):
    """Where the processes of an installation share revocations."""

    async def version(self) -> int:
        """How many there were so far; 0 if there is nothing, or no longer. It only goes back if the store lost data."""
        ...

    async def read(self) -> list[Revocation]:
        """All that have not expired."""
        ...

    async def add(self, revocation: Revocation) -> None:
        """Add one; of two for one subject the later is kept."""
        ...

    async def refill(self) -> None:
        """Bring back what the store lost, from where revocations last."""
        ...


class RevocationWatch:
    """The revocations that this process obeys.

    While the store is away, it goes on with what it knows. A store that lost its data is given back what it had,
    also at the start of a process.
    """

    def __init__(self, store: RevocationStore, now: Callable[[], float] = time.time) -> None:
        """``now`` gives wall seconds since 1970."""
        self._store = store
        self._now = now
        self._known = Revocations()
        self._version = 0
        #: Called after something was revoked.
        self.on_news: Callable[[], None] = lambda: None

    def refuses(self, grant: Grant) -> bool:
        """Return whether the token behind the grant was revoked."""
        return self._known.refuses(grant)

    def all(self) -> list[Revocation]:
        """Return what is revoked, the newest first."""
        return self._known.all()

    async def revoke(self, revocation: Revocation) -> None:
        """Revoke, here at once and in other processes at their next look. Raises as the store does."""
        await self._store.add(revocation)
        self._known.add(revocation)
        log.info("token_revoked", what=revocation.name, by=revocation.by, reason=revocation.reason)
        self.on_news()

    async def start(self) -> None:
        """Bring back what was lost while no process ran, and read all. Raises as the store does."""
        await self._store.refill()
        await self.look()

    async def look(self) -> None:
        """Read what is new. Raises as the store does."""
        version = await self._store.version()
        if version == self._version:
            return
        if version < self._version:
            await self._give_back()
            version = await self._store.version()
        self._known.update(await self._store.read(), self._now())
        self._version = version
        self.on_news()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except Exception as error:
                log.warning("revocations_not_read", error=repr(error), retry_s=LOOK_EVERY_S)

    async def _give_back(self) -> None:
        """Add what a store that lost its data lacks; several processes may do so at once."""
        await self._store.refill()
        held = {one.name for one in await self._store.read()}
        missing = [one for one in self.all() if one.name not in held and one.until_s > self._now()]
        log.warning("revocations_lost", known=len(self.all()), given_back=len(missing))
        for one in missing:
            await self._store.add(one)
