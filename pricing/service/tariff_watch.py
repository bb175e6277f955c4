"""Keeps the tariff of a region in force: reads it again when its file changes, and refuses a wrong one."""

from __future__ import annotations

import asyncio

import structlog

from pricing.errors import TariffRefused
from pricing.metrics import TariffMetrics
from pricing.model.tariff import Tariff
from pricing.ports import TariffArchive, TariffSource

#: Wall seconds between two looks at the file.
LOOK_EVERY_S = 2.0

log = structlog.get_logger(__name__)


class TariffWatch:
    """Holds the tariff of one region, and puts a changed file in force once it is read, right and archived.

    A file is read when two looks in a row found the same: one that is being written is left alone.
    """

    def __init__(self, source: TariffSource, region_id: str, archive: TariffArchive, metrics: TariffMetrics) -> None:
        """Read the source. Raises TariffRefused: without a tariff there is nothing to stay with."""
        self._source = source
        self._region = region_id
        self._archive = archive
        self._metrics = metrics
        self._seen = self._read = self._source.stamp()
        self._tariff = source.read()
        self.refusal: TariffRefused | None = None

    @property
    def tariff(self) -> Tariff:
        """The tariff in force."""
        return self._tariff

    async def start(self) -> None:
        """Archive the version that the file had at the start. Raises what the archive raises."""
        await self._archive.keep(self._tariff)
        self._tell()

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except Exception as error:
                # The archive or the file system is away: what is in force stays, and the next look tries again.
                log.warning("tariff_not_looked_at", region_id=self._region, error=repr(error))

    async def look(self) -> None:
        """Put the file in force if it changed, is at rest and is right. Raises what the archive raises, and OSError."""
        stamp = self._source.stamp()
        is_at_rest, self._seen = stamp == self._seen, stamp
        if not is_at_rest or stamp == self._read:
            return
        try:
            # In a thread: finding the line of a mistake parses the file many times.
            tariff = await asyncio.to_thread(self._source.read)
        except TariffRefused as refusal:
            self.refusal = refusal
            log.error("tariff_refused", region_id=self._region, in_force=self._tariff.version, detail=str(refusal))  # noqa: TRY400
        else:
            await self._archive.keep(tariff)
            if tariff.version != self._tariff.version:
                log.info("tariff_in_force", region_id=self._region, version=tariff.version, before=self._tariff.version)
            self._tariff, self.refusal = tariff, None
        self._read = stamp
        self._tell()

    def _tell(self) -> None:
        self._metrics.in_force(self._region, self._tariff.version, is_refused=self.refusal is not None)
