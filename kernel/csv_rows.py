"""Reads the rows of CSV tables as spreadsheets and scripts write them. Open files as `utf-8-sig`, which drops a BOM."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator


def csv_table(lines: Iterable[str]) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the names of the header, and (line, values) of each row below it; lines count from 1.

    Empty lines, rows of nothing but commas, and empty values behind the last column are left out; blanks round a name
    do not count. Rows of a wrong length are the caller's to refuse. Raises csv.Error where it is no CSV at all.
    """
    reader = csv.reader(lines)
    header: list[str] = []
    for row in reader:
        header = [name.strip() for name in row]
        if any(header):
            break
    while header and not header[-1]:
        header.pop()
    return header, _rows(reader, len(header))


def _rows(reader: Iterator[list[str]], columns: int) -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if not any(value.strip() for value in row):
            continue
        while len(row) > columns and not row[-1].strip():
            row.pop()
        yield reader.line_num, row  # type: ignore[attr-defined]
