"""A phone is told, by its answers or on its stream, when its position does not count and why."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from api.pings import position_body
from api.position_watch import PositionWatch
from location_ingest.model import LastPings, Refusal, Standing
from location_ingest.rules import standing_of
from tests.api.installation import BRYANT_PARK, People
from tests.api.test_bad_input import send_pings
from tests.patience import eventually

NOW_S = 1_700_000_000.0
LIMIT_S = 60.0


class Town:
    """Where one driver stands, a clock, and what her stream has heard."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self.last = LastPings(None)
        self.told: list[tuple[bool, str | None]] = []
        self.watch = PositionWatch(self._read, lambda: self.now_s, LIMIT_S)
        self.watch.listen("dora", self._tell)

    async def _read(self, driver_ids: Sequence[str]) -> dict[str, LastPings]:
        return dict.fromkeys(driver_ids, self.last)

    def _tell(self, standing: Standing) -> None:
        self.told.append((standing.counts, standing.reason))

    async def at(self, after_s: float, last: LastPings) -> None:
        """Look at this time, with these last pings."""
        self.now_s, self.last = NOW_S + after_s, last
        await self.watch.look()


def test_a_position_counts_until_it_is_stale_whatever_was_refused_since() -> None:
    jumped = LastPings(NOW_S, "impossible_jump", NOW_S + 50)
    assert standing_of(jumped, NOW_S + LIMIT_S, LIMIT_S) == Standing(counts=True)
    assert standing_of(jumped, NOW_S + 61, LIMIT_S) == Standing(False, "impossible_jump", NOW_S + LIMIT_S)
    assert standing_of(jumped, NOW_S + 200, LIMIT_S) == Standing(False, "stale", NOW_S + LIMIT_S)
    assert standing_of(LastPings(None), NOW_S, LIMIT_S) == Standing(counts=False)


async def test_a_stream_is_told_once_of_silence_and_once_of_its_end() -> None:
    town = Town()
    for after_s, seen_s in ((0, 0), (50, 0), (61, 0), (70, 0), (75, 74), (80, 74)):
        await town.at(after_s, LastPings(NOW_S + seen_s))
    assert town.told == [(False, "stale"), (True, None)]


async def test_a_stream_is_told_why_its_pings_are_not_believed() -> None:
    town = Town()
    await town.at(0, LastPings(NOW_S))
    for after_s in (30, 61, 65):
        await town.at(after_s, LastPings(NOW_S, "repeated_coordinates", NOW_S + after_s))
    assert town.told == [(False, "repeated_coordinates")]
    assert position_body(Standing(counts=False, reason="repeated_coordinates"))["hint"]


async def test_a_ping_that_was_refused_at_once_is_a_reason_too_and_one_that_is_late_is_none() -> None:
    town = Town()
    await town.at(0, LastPings(NOW_S))
    town.now_s = NOW_S + 58
    town.watch.note_pings("dora", [Refusal(0, "off_region", ""), Refusal(1, "duplicate_time", "t_s")])
    await town.at(61, LastPings(NOW_S))
    assert town.told == [(False, "off_region")]


async def test_who_connects_after_a_silence_or_never_was_anywhere_is_not_told() -> None:
    town = Town()
    await town.at(0, LastPings(None))
    await town.at(10, LastPings(NOW_S - 500))
    assert town.told == []


@pytest.mark.servers
async def test_a_phone_whose_fixes_are_too_coarse_is_told_by_its_answer_and_on_its_stream(people: People) -> None:
    driver = people.driver()
    now_s = driver.installation.now_s
    coarse = {**BRYANT_PARK, "accuracy_m": 5_000.0}
    async with driver.stream() as stream:
        assert (await send_pings(driver, {"t_s": now_s(), **coarse})).json() == {"accepted": 1}
        frame = await stream.frame()
        assert (frame["type"], frame["counts"], frame["reason"]) == ("position", False, "too_coarse")

        async def told() -> dict[str, object] | None:
            answer: dict[str, object] = (await send_pings(driver, {"t_s": now_s(), **coarse})).json()
            return answer if "position" in answer else None

        answer = await eventually(told)
        assert answer["position"] == {name: value for name, value in frame.items() if name != "type"} | {
            "since_s": answer["position"]["since_s"]
        }
        assert (await send_pings(driver, {"t_s": now_s(), **BRYANT_PARK})).json()["accepted"] == 1
        assert await stream.frame() == {"type": "position", "counts": True}
