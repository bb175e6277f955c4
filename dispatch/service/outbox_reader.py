"""Feeds committed events from the outbox to a learning policy, and saves what it has learned for the next process."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dispatch.events import RideEvent
from dispatch.matching.answers import Answers
from dispatch.matching.expected import ExpectedPolicy
from dispatch.matching.policy import LearningPolicy
from dispatch.metrics import AcceptanceMetrics
from dispatch.ports import AnswersMemory, EventTail
from geo.roads.graph import RoadGraph

log = structlog.get_logger(__name__)

#: Events read before one round: about 50 ms of work, and five times what 200 requests a second produce.
EVENTS_PER_ROUND = 5_000
#: Events that a policy without saved state learns from first: those of about eight thousand rides.
EVENTS_REPLAYED = 50_000
#: City seconds between two saves of the learned state, and so at most what a new process reads again.
KEEP_EVERY_S = 10.0


class OutboxReader:
    """Passes the committed events of a region to its policy, in order and once, from where the last process was."""

    def __init__(
        self,
        *,
        region_id: str,
        graph: RoadGraph,
        policy: LearningPolicy,
        tail: EventTail,
        memory: AnswersMemory,
        metrics: AcceptanceMetrics,
        now: Callable[[], float],
    ) -> None:
        self._region = region_id
        self._graph = graph
        self._policy = policy
        self._tail = tail
        self._memory = memory
        self._metrics = metrics
        self._now = now
        self._position = 0
        self._kept_s = -KEEP_EVERY_S

    async def start(self) -> None:
        """Load the saved state; if there is none, or it is ahead of the log, learn anew from the last events."""
        newest = (await self._tail.outbox_progress())[0]
        if not isinstance(self._policy, ExpectedPolicy):
            self._position = max(self._position, newest - EVENTS_REPLAYED)
            return
        self._policy.answers, self._position = Answers(self._graph), max(0, newest - EVENTS_REPLAYED)
        try:
            state = await self._memory.load()
            if state is not None and state.position <= newest:
                self._policy.answers = Answers(self._graph, state=state)
                self._position = state.position
        except ValueError as error:  # written by another version
            log.warning("acceptance_state_refused", reason=str(error))

    async def catch_up(self) -> None:
        """Pass on what was committed since the last call, but for what cannot be read or makes the policy fail."""
        try:
            placed = await self._tail.events_since(self._region, self._position, EVENTS_PER_ROUND)
            for position, event in placed:
                self._position = position
                if isinstance(event, self._policy.observed_events):
                    self._observe(event)
            await self._keep()
        except Exception:  # a policy that has learned less can still match
            log.exception("outbox_reading_failed")

    def _observe(self, event: RideEvent) -> None:
        try:
            self._policy.observe(event)
        except Exception:  # one event that is not learned from takes nothing from those after it
            log.exception("event_not_learned", region_id=self._region, ride_id=event.ride_id, sequence=event.sequence)

    async def _keep(self) -> None:
        now_s = self._now()
        if not isinstance(self._policy, ExpectedPolicy) or now_s - self._kept_s < KEEP_EVERY_S:
            return
        self._kept_s = now_s
        answers = self._policy.answers
        answers.position = self._position
        figures = answers.model.figures()
        self._metrics.show(self._region, figures)
        await self._memory.keep(answers.state(), figures)
