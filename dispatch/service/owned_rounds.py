"""Rounds by the owner of the region alone."""

from __future__ import annotations

import structlog

from dispatch.ports import Ownership, RoundReport
from dispatch.service.matching import MatchingService

log = structlog.get_logger(__name__)


class OwnedRounds:
    """Runs the region's rounds while this process owns the region, and stands by while another does.

    Whoever takes over knows nothing of what the other did, and needs nothing: open rides are in SQL, drivers and
    leases in Redis, and the fence is brought up to SQL before the first round.
    """

    def __init__(self, region_id: str, ownership: Ownership, rounds: MatchingService) -> None:
        self._region = region_id
        self._ownership = ownership
        self._rounds = rounds
        self._is_owner = False

    async def step(self) -> RoundReport | None:
        """A round, if it is ours to run."""
        owns = await self._ownership.owns(self._region)
        if owns and not self._is_owner:
            await self._rounds.start()
            log.info("region_taken", region_id=self._region)
        if self._is_owner and not owns:
            log.warning("region_lost", region_id=self._region)
        self._is_owner = owns
        return await self._rounds.run_round() if owns else None
