"""How long a demo runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hexhail.demo import demo as module
from hexhail.demo.demo import Demo, DemoParams
from hexhail.runtime.supervisor import Supervisor
from tests.patience import PATIENCE_S


class LivelySupervisor(Supervisor):
    """Supervises nothing, and nothing dies."""

    def __init__(self) -> None:
        """Without a folder for logs."""

    async def wait(self, seconds: float | None = None) -> None:
        pass


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def demo(said: list[str], monkeypatch: pytest.MonkeyPatch) -> Demo:
    async def read(self: Demo, path: str) -> dict[str, Any]:
        return {"rides_completed": 1}

    monkeypatch.setattr(Demo, "read", read)
    return Demo(DemoParams(seconds=0.3), said.append, {"api": 1}, {}, LivelySupervisor(), "")


async def test_a_demo_with_a_time_ends_by_itself_when_it_is_over(demo: Demo, said: list[str]) -> None:
    shown: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        lived_s = await module._live(demo, asyncio.Event(), shown.append, 0.0)
    assert lived_s >= 0.3
    assert (shown[-1]["limit_s"], shown[-1]["rides_completed"]) == (0.3, 1)
    assert len([sentence for sentence in said if sentence.startswith("first ride completed")]) == 1


async def test_a_demo_ends_when_its_user_has_had_enough(demo: Demo) -> None:
    demo.params = DemoParams()
    enough = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S):
        await module._live(demo, enough, lambda figures: enough.set(), 0.0)
