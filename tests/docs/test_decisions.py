"""Every decision record has its number, its title and the four parts, and stands in the index in order."""

from __future__ import annotations

import re
from pathlib import Path

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"
RECORDS = sorted(DECISIONS.glob("*/*.md"), key=lambda path: path.name)
PARTS = ["Context", "Decision", "Alternatives", "Consequences"]


def test_every_record_has_the_four_parts_in_their_order() -> None:
    assert RECORDS
    parts = {path.name: re.findall(r"^## (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE) for path in RECORDS}
    assert {name: found for name, found in parts.items() if found != PARTS} == {}


def test_the_index_lists_every_record_by_its_title_in_the_order_of_the_numbers() -> None:
    expected = []
    for path in RECORDS:
        heading = path.read_text(encoding="utf-8").splitlines()[0]
        number, area = path.name[:3], path.parent.name
        assert heading.startswith(f"# {number}: ")
        expected.append(f"| {number} | [{heading.removeprefix(f'# {number}: ')}]({area}/{path.name}) | {area} |")
    index = (DECISIONS / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in index if re.match(r"\| \d", line)] == expected
