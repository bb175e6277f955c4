"""Whether drivers can be asked at the moment, for requests that would otherwise wait for nobody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dispatch.errors import OffersStopped

#: Without a round for so many wall seconds nobody runs the region's rounds: another matcher takes over in seven.
SILENT_AFTER_S = 15.0


@dataclass(frozen=True, slots=True)
class Offering:
    """What the two things say without which no offer is made: the store of leases, and the region's rounds."""

    #: Why the store of leases does not take writes; None if it does.
    refusal: Callable[[], Awaitable[str | None]]
    #: Wall seconds since the region's last round; None if none is known, or nobody can say.
    silent_s: Callable[[], Awaitable[float | None]]

    async def require(self) -> None:
        """Raise OffersStopped if no lease can be taken."""
        if await self.refusal() is not None:
            raise OffersStopped

    async def notice(self) -> str | None:
        """A plain word for the rider if nobody matches rides at the moment; None if somebody does."""
        silent_s = await self.silent_s()
        if silent_s is not None and silent_s <= SILENT_AFTER_S:
            return None
        return "No driver is being asked at the moment. The ride waits, and is matched when the service goes on."
