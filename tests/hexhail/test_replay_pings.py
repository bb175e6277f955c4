"""The ping replay against every kind of response of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from hexhail.runs.recorded_pings import RecordedPings, read_pings, usable_pings
from hexhail.runs.replay_pings import Installation, ReplayFigures, _Sender
from kernel.clock import CityClock
from simulator.demand.inputs import BadRows
from tests.hexhail.command_line import hexhail_process
from tests.hexhail.test_cli import SECRETS

PINGS = RecordedPings(
    np.array(["a", "b", "a"], dtype=object),
    np.array([10.0, 11.0, 12.0]),
    np.array([37.7, 37.71, 37.72]),
    np.array([-122.4, -122.41, -122.42]),
    {"speed_mps": np.array([3.0, np.nan, np.nan])},
)
CITY = Installation("http://city", CityClock(), lambda driver_id: f"token of {driver_id}", "operator")


def refusing(status: int, *refusals: tuple[int, str]) -> httpx.Response:
    listed = [{"index": index, "reason": reason} for index, reason in refusals]
    return httpx.Response(status, json={"refusals": listed})


async def sent_to(
    answers: dict[str, list[httpx.Response]],
) -> tuple[ReplayFigures, list[tuple[str, list[dict[str, Any]]]]]:
    """Send the pings to an edge that gives each driver these answers, and then 202."""
    heard = []

    def answer(request: httpx.Request) -> httpx.Response:
        driver_id = request.headers["Authorization"].rpartition(" ")[2]
        heard.append((driver_id, json.loads(request.content)["pings"]))
        waiting = answers.get(driver_id)
        return waiting.pop(0) if waiting else httpx.Response(202)

    figures = ReplayFigures()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://city") as client:
        await _Sender(client, CITY, figures).send(PINGS, 100.0)
    return figures, heard


async def test_each_driver_sends_her_pings_in_one_request_and_says_only_what_is_known() -> None:
    figures, heard = await sent_to({})
    first = {"t_s": 110.0, "lat_deg": 37.7, "lng_deg": -122.4, "speed_mps": 3.0}
    assert sorted(heard, key=str)[0] == ("a", [first, {"t_s": 112.0, "lat_deg": 37.72, "lng_deg": -122.42}])
    assert (figures.sent, figures.taken, figures.requests) == (3, 3, 2)


async def test_refused_pings_are_left_out_and_counted_by_reason() -> None:
    figures, heard = await sent_to({"a": [refusing(422, (0, "off_region"))]})
    assert figures.refused == {"off_region": 1}
    assert figures.taken == 2
    assert [len(pings) for driver_id, pings in heard if driver_id == "a"] == [2, 1]


async def test_a_ping_that_is_late_after_being_put_off_had_been_taken() -> None:
    away = httpx.Response(503, headers={"Retry-After": "0"})
    figures, _ = await sent_to({"a": [away, refusing(409, (0, "duplicate_time"), (1, "duplicate_time"))]})
    assert (figures.taken, figures.put_off, sum(figures.refused.values())) == (3, 2, 0)


def test_figures_can_be_written_as_json_and_say_what_is_missing() -> None:
    figures = ReplayFigures(sent=5, accepted=2)
    figures.refused["off_region"] += 1
    figures.rejected["impossible_jump"] += 1
    written = json.loads(json.dumps(figures.as_dict()))
    assert written["unaccounted"] == 1
    assert written["rejected"] == {"impossible_jump": 1}


def test_a_speed_that_is_not_the_clocks_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "pings.csv"
    path.write_text("driver_id,t_s,lat,lng\na,1,2,3\n")
    done = hexhail_process("replay", "pings", str(path), "--speed", "5", HEXHAIL_TOKEN_SECRETS=SECRETS)
    assert done.returncode == 1
    assert "--speed is 5 and the city's clock runs at 1" in done.stderr
    assert "Start the city with HEXHAIL_CLOCK_SPEED=5" in done.stderr


ROWS = [f"q,{1_419_181_200 + 2 * at},{40.758 + at / 1e4:.4f},-73.9855" for at in range(12)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("q,799866000,40.758,-73.9855", "its time, 799866000, is more than a year from that of the middle ping"),
        ("q,0,40.758,-73.9855", "its time, 0, is more than a year"),
        ("q,4070908800,40.758,-73.9855", "its time, 4070908800, is more than a year"),
        ("q,,40.758,-73.9855", "it has no time"),
        ("q,nan,40.758,-73.9855", "it has no time"),
        ("q,1419181210,,", "it has no position: the receiver had no fix"),
        ("q,1419181210,91,-73.9855", "(91, -73.9855) is no place on the globe"),
    ],
)
def test_pings_that_no_phone_could_have_sent_are_named_and_the_others_sent(
    tmp_path: Path, row: str, reason: str
) -> None:
    path = tmp_path / "pings.csv"
    path.write_text("\n".join(["driver_id,t_s,lat_deg,lng_deg", *ROWS[:5], row, *ROWS[5:], ""]))
    bad = BadRows(skip=True)
    kept = usable_pings(path, read_pings(path), bad)
    assert len(kept) == 12
    (told,) = bad.reasons
    assert told.startswith(f"{path}, line 7: q: {reason}")
    assert float(kept.t_s[-1] - kept.t_s[0]) == 22.0


def test_marks_line_ends_blank_lines_and_trailing_commas_of_pings_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "pings.csv"
    path.write_text("\ufeffdriver_id,t_s,lat_deg,lng_deg\r\n\r\n" + "".join(f"{row},\r\n" for row in ROWS) + "\r\n")
    bad = BadRows(skip=True)
    assert len(usable_pings(path, read_pings(path), bad)) == 12
    assert bad.count == 0


def test_the_command_names_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "pings.csv"
    path.write_text("driver_id,t_s,lat_deg,lng_deg\na,1419181200,,\nb,,40.7,-73.9\n")
    done = hexhail_process("replay", "pings", str(path), HEXHAIL_TOKEN_SECRETS=SECRETS)
    assert done.returncode == 1
    assert f"{path}, line 2: a: it has no position" in done.stdout
    assert f"{path}, line 3: b: it has no time" in done.stdout
    assert "2 pings are left out" in done.stdout
    assert "holds no ping that can be sent" in done.stderr


async def test_an_answer_that_is_no_list_of_refusals_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the city answers pings of a with 422"):
        await sent_to({"a": [httpx.Response(422, text="what?")]})
