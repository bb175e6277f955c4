"""How far publishing is behind the commits, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from backing.outbox.outbox import SqlOutbox

#: Wall seconds between two looks.
LOOK_EVERY_S = 2.0


class BacklogMetrics:
    """Looks at the outbox and says how many messages wait, and for how long; made once by the composition root."""

    def __init__(self, outbox: SqlOutbox, now: Callable[[], float], registry: CollectorRegistry) -> None:
        """``now`` gives city seconds, as messages do."""
        self._outbox = outbox
        self._now = now
        self._waiting = Gauge(
            "hexhail_outbox_unpublished", "Committed messages that are not published yet.", registry=registry
        )
        self._oldest_s = Gauge(
            "hexhail_outbox_oldest_unpublished_city_seconds",
            "Age of the oldest message that is not published yet, in city seconds; 0 if none waits.",
            registry=registry,
        )

    async def look(self) -> None:
        """Set the gauges. Raises what the database raises."""
        backlog = await self._outbox.backlog()
        self._waiting.set(backlog.waiting)
        age_s = 0.0 if backlog.oldest_s is None else max(0.0, self._now() - backlog.oldest_s)
        self._oldest_s.set(age_s)
