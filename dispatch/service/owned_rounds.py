"""Rounds by the owner of the region alone."""

from __future__ import annotations

import structlog

from dispatch.metrics import MatchingMetrics
from dispatch.ports import Ownership, RoundReport
from dispatch.service.matching import MatchingService

log = structlog.get_logger(__name__)


class OwnedRounds:
    """Runs the region's rounds while this process owns the region, and stands by while another does.

    A new owner knows nothing of the former one's work, and needs nothing: open rides are in SQL, drivers and
    leases in Redis, and the fence is brought up to SQL before the first round.
    """

    def __init__(
        self, region_id: str, ownership: Ownership, rounds: MatchingService, metrics: MatchingMetrics | None = None
    ) -> None:
        self._region = region_id
        self._ownership = ownership
        self._rounds = rounds
        self._metrics = metrics
        #: Those that were started since the region became ours.
        self._started: MatchingService | None = None

    async def step(self) -> RoundReport | None:
        """A round, if it is ours to run."""
        owns = await self._ownership.owns(self._region)
        if self._metrics is not None:
            self._metrics.show_owner(self._region, is_ours=owns)
        if not owns:
            if self._started is not None:
                log.warning("region_lost", region_id=self._region)
            self._started = None
            return None
        rounds = self._rounds
        if self._started is not rounds:
            await rounds.start()
            log.info("region_taken", region_id=self._region)
            self._started = rounds
        return await rounds.run_round()

    def replace(self, rounds: MatchingService) -> None:
        """Run these rounds from the next one on, as if another process had taken the region over."""
        self._rounds = rounds
