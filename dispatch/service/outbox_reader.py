"""What a policy that learns is told between the rounds, and what it has learned kept for the next process."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dispatch.matching.answers import Answers
from dispatch.matching.expected import ExpectedPolicy
from dispatch.matching.policy import LearningPolicy
from dispatch.metrics import AcceptanceMetrics
from dispatch.ports import AnswersMemory, EventTail
from geo.roads.graph import RoadGraph

log = structlog.get_logger(__name__)

#: Events heard before one round: about 50 ms of work, and five times what comes at 200 requests/s.
EVENTS_PER_ROUND = 5_000
#: How far back one listens who knows nothing yet: about eight thousand rides.
EVENTS_HEARD_ANEW = 50_000
#: City seconds between two times that what was learned is kept: what a new process hears again at most.
KEEP_EVERY_S = 10.0


class Hearing:
    """Tells a policy the committed events of its region in their order, each once, from where the last process was."""

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
        """Go on from what was kept; without it, or if it is ahead of the log, learn anew from the last events."""
        newest = (await self._tail.outbox_progress())[0]
        if not isinstance(self._policy, ExpectedPolicy):
            self._position = max(self._position, newest - EVENTS_HEARD_ANEW)
            return
        self._policy.answers, self._position = Answers(self._graph), max(0, newest - EVENTS_HEARD_ANEW)
        try:
            state = await self._memory.load()
            if state is not None and state.position <= newest:
                self._policy.answers = Answers(self._graph, state=state)
                self._position = state.position
        except ValueError as error:  # written by another version
            log.warning("acceptance_state_refused", reason=str(error))

    async def catch_up(self) -> None:
        """Tell what was committed since. A failure costs no round; an event that the policy fails on is passed over."""
        try:
            placed = await self._tail.events_since(self._region, self._position, EVENTS_PER_ROUND)
            for position, event in placed:
                self._position = position
                if isinstance(event, self._policy.observed_events):
                    self._policy.observe(event)
            await self._keep()
        except Exception:  # a policy that knows less still matches
            log.exception("hearing_failed")

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
