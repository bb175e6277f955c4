"""The objects that all riders and drivers of a population process share."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hexhail.demo.population.api_client import ApiClient, Person, TokenOf
from hexhail.demo.population.event_stream import Event, EventStream
from hexhail.demo.population.figures import PopulationFigures
from kernel.clock import CityClock


@dataclass(frozen=True, slots=True)
class PopulationContext:
    """Clock, API client and counters of a population process."""

    clock: CityClock
    api: ApiClient
    api_url: str
    token_of: TokenOf
    figures: PopulationFigures
    jitter: random.Random

    def stream(
        self,
        person: Person,
        on_ready: Callable[[], None],
        on_event: Callable[[Event], None],
        on_advice: Callable[[Event], None] | None = None,
    ) -> EventStream:
        """Return the person's event stream, not yet running."""
        url = f"{self.api_url.rstrip('/').replace('http', 'ws', 1)}/v1/{person.role}s/me/stream"
        token = partial(self.token_of, *person)
        return EventStream(url, token, on_ready, on_event, on_advice, self.figures, self.jitter)

    def wall_until_s(self, city_s: float) -> float:
        """Return the wall seconds until a city time, 0 if it is past, infinity if it never comes."""
        if math.isinf(city_s):
            return math.inf
        return max(0.0, self.clock.wall_duration_s(city_s - self.clock.now_s()))

    async def sleep_until(self, city_s: float) -> None:
        """Wait for a city time. Event loops count whole milliseconds, so it may return one early."""
        await asyncio.sleep(self.wall_until_s(city_s))
