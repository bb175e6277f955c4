"""The tutorials run as they are printed: every block, in order, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hexhail.runtime.settings import MANHATTAN

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"


class Done(NamedTuple):
    """What the tutorial left behind: its folder, all that was printed, its blocks by kind."""

    folder: Path
    printed: str
    blocks: list[tuple[str, str]]


def blocks_of(name: str) -> Any:
    return re.findall(r"```(\w+)\n(.*?)```", (TUTORIALS / name).read_text(), re.DOTALL)


def carried_out(name: str, folder: Path) -> Done:
    """Save the Python blocks of a tutorial and run its commands."""
    blocks = blocks_of(name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "MANHATTAN": str(MANHATTAN), "PATH": path, "COLUMNS": "200"}
    printed = ""
    for kind, text in blocks:
        if kind == "python":
            (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
        elif kind == "sh":
            done = subprocess.run(["/bin/sh", "-c", text], cwd=folder, env=env, capture_output=True, text=True)
            assert (done.returncode != 0) == text.startswith("# ends with an error"), done.stdout + done.stderr
            printed += done.stdout + done.stderr
    return Done(folder, printed, blocks)


@pytest.fixture(scope="module")
def own_policy(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return carried_out("a-policy-of-your-own.md", tmp_path_factory.mktemp("tutorial"))


def any_number(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def summary(done: Done, run: str) -> Any:
    return json.loads((done.folder / run / "summary.json").read_text())


def test_the_policy_has_twenty_lines_and_serves_the_city_without_a_fault(own_policy: Any) -> None:
    (text,) = (text for kind, text in own_policy.blocks if text.startswith("# my_policy.py"))
    assert len([line for line in text.splitlines()[1:] if line.strip()]) <= 20
    figures = summary(own_policy, "mine")
    assert figures["policy_faults"]["count"] == 0
    assert figures["requests"] > 100
    assert figures["service_rate"] > 0.8


def test_the_comparison_finds_what_the_policy_was_made_for_and_its_price(own_policy: Any) -> None:
    found = json.loads((own_policy.folder / "both" / "compare.json").read_text())["figures"]
    assert found["income_gini"]["difference"][0]["mean"] < 0
    assert found["wait_s_mean"]["difference"][0]["mean"] > 0
    assert "mean wait for the pickup" in (own_policy.folder / "both" / "compare.html").read_text()


def test_the_wrong_policy_is_named_and_its_files_can_be_read(own_policy: Any) -> None:
    (shown,) = (text.strip() for kind, text in own_policy.blocks if kind == "text")
    # Whose turn it is depends on the dice; the words do not.
    assert any_number(shown) in any_number(own_policy.printed)
    faults = summary(own_policy, "wrong")["policy_faults"]
    assert faults["count"] >= faults["rounds"] > 0
    assert any(any_number(sentence).endswith(any_number(shown)) for sentence in faults["first"])
    for name in ("report.html", "events.parquet", "drivers.csv"):
        assert (own_policy.folder / "wrong" / name).stat().st_size > 0


def test_what_is_learned_earns_more_on_days_that_it_has_not_seen(tmp_path: Path) -> None:
    done = carried_out("learning-a-policy.md", tmp_path)
    gain = re.search(r"on days it has not seen: ([+-][\d.]+) a day", done.printed)
    assert gain is not None, done.printed
    assert float(gain[1]) > 0.0
