"""CSV tables as spreadsheets and scripts write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.csv_rows import csv_table


def table(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    header, rows = csv_table(text.splitlines(keepends=True))
    return header, list(rows)


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n3,4\n",
        "a,b\r\n1,2\r\n3,4\r\n",
        "a,b\n1,2\n3,4\n\n",
        "a,b,\n1,2,\n3,4,\n",
        "a , b\n1,2,,,\n3,4",
        "a,b\n1,2\n3,4\n,\n   \n",
    ],
)
def test_line_ends_blank_lines_and_trailing_commas_change_nothing(text: str) -> None:
    assert table(text) == (["a", "b"], [(2, ["1", "2"]), (3, ["3", "4"])])


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    assert table('\na,b\n\n"1\n1",2\n3,4\n') == (["a", "b"], [(5, ["1\n1", "2"]), (6, ["3", "4"])])


def test_rows_of_another_length_are_the_callers_to_refuse() -> None:
    assert table("a,b\n1\n1,2,3\n") == (["a", "b"], [(2, ["1"]), (3, ["1", "2", "3"])])
    assert table("") == ([], [])


def test_a_byte_order_mark_is_dropped_by_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, rows = csv_table(file)
        assert (header, list(rows)) == (["a", "b"], [(2, ["1", "2"])])
