"""Two matchers share a region by Kafka's group protocol: one matches, the other stands by and takes over."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from backing.kafka import create_topics
from backing.ownership import KafkaOwnership
from backing.retry import RestartNeeded
from dispatch.events import OfferSent
from dispatch.rules.invariants import check_history
from hexhail.roles.matcher import GROUP
from hexhail.runtime.repeating import StopEvent, repeat
from tests.dispatch.people import history
from tests.dispatch.test_matching_service import Matcher
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]


class Owner:
    """One matcher process and what it has said last."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.owns = False
        self.heard = asyncio.Event()
        self.listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for line in self.process.stdout:
            if line.strip() in (b"taken", b"lost"):
                self.owns = line.strip() == b"taken"
                self.heard.set()


@asynccontextmanager
async def owners(count: int, database: Any, redis_port: Any, broker_port: int) -> AsyncIterator[Any]:
    topic = f"owners-{uuid.uuid4().hex[:8]}"
    await create_topics(f"127.0.0.1:{broker_port}", [topic], 1)
    command = [sys.executable, "-m", "tests.dispatch.owner", str(database), str(redis_port), str(broker_port), topic]
    started = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
            started.append(Owner(process))
        yield started
    finally:
        for owner in started:
            if owner.process.returncode is None:
                os.kill(owner.process.pid, signal.SIGCONT)
                owner.process.kill()
            await owner.process.wait()
            await owner.listening


async def test_a_region_is_taken_over_from_a_paused_and_from_a_killed_owner(
    sqlite_store: Any, empty_redis: Redis, clock: Any, tmp_path: Path, valkey_port: int, broker_port: int
) -> None:
    city = Matcher(sqlite_store, empty_redis, clock)
    await city.drivers(**{f"driver{n}": n for n in range(12)})

    async def is_offered(ride_id: str, node: Any) -> None:
        await city.request(ride_id, node, f"rider-of-{ride_id}")
        await eventually(lambda: city.asked(ride_id))

    async with owners(2, tmp_path / "rides.db", valkey_port, broker_port) as pair:

        async def the_owner() -> Any:  # nobody for a moment, wherever a heartbeat comes late
            owners = [owner for owner in pair if owner.owns]
            return owners[0] if len(owners) == 1 else None

        async def another_owns() -> Any:  # an owner says so after its first round
            return new.owns

        await eventually(the_owner)
        await is_offered("first", 0)
        old = await eventually(the_owner)
        (new,) = (owner for owner in pair if owner is not old)
        os.kill(old.process.pid, signal.SIGSTOP)
        await is_offered("during-the-pause", 4)
        await eventually(another_owns)
        os.kill(old.process.pid, signal.SIGCONT)
        await eventually(the_owner)
        await is_offered("after-the-pause", 8)
        owner = await eventually(the_owner)
        owner.process.kill()
        await is_offered("after-the-kill", 11)
    events = await history(sqlite_store)
    assert check_history(events).violations == []
    assert sum(isinstance(event, OfferSent) for event in events) == 4


@pytest.mark.parametrize("death", ["an unforeseen error", "a cancellation"])
async def test_a_matcher_whose_coordination_task_dies_ends_so_that_it_is_started_again(
    broker_port: int, death: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raised the same KafkaError each round before, and retried it for ever, while nobody ran the rounds."""
    topic = f"owners-{uuid.uuid4().hex[:8]}"
    await create_topics(f"127.0.0.1:{broker_port}", [topic], 1)
    ownership = KafkaOwnership([f"127.0.0.1:{broker_port}"], f"{GROUP}-{topic}", topic, lambda region_id: 0, 3.0)
    await ownership.start()
    coordinator = ownership._consumer._coordinator
    stop = StopEvent()

    async def owns() -> Any:
        return await ownership.owns("manhattan")

    async def unforeseen() -> None:
        raise ZeroDivisionError("nobody thought of this")

    try:
        await eventually(owns)
        if death == "a cancellation":
            coordinator._coordination_task.cancel()
        else:
            monkeypatch.setattr(coordinator, "ensure_coordinator_known", unforeseen)
            coordinator.coordinator_dead()
            coordinator.request_rejoin()
        with pytest.raises(RestartNeeded, match="has ended"):
            async with asyncio.timeout(PATIENCE_S):
                await repeat(owns, lambda: 0.05, stop)
    finally:
        stop.set()
        with suppress(asyncio.CancelledError):  # of the task that the test cancelled
            await ownership.stop()
