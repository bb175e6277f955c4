"""Where in a TOML file something stands: the reader of the standard library keeps no line numbers."""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the line, from 1, at which the key or table at ``path`` begins in a valid TOML ``text``.

    A key that is not there is looked for at the last of its tables that is; without any it is line 1.
    Time O(n log n) in the lines, with one more n where a value goes over many of them: for telling errors only.
    """
    lines = text.splitlines(keepends=True)
    document = tomllib.loads(text)
    while path and not _holds(document, path):
        path = path[:-1]
    if not path:
        return 1
    # Longer beginnings of a file only ever gain keys, so the first that holds the path can be found by halving.
    ends = bisect_left(range(len(lines) + 1), 1, key=lambda count: int(_holds(_readable(lines, count)[1], path)))
    begins_after, _ = _readable(lines, ends - 1)
    said = (number for number in range(begins_after, ends) if lines[number].partition("#")[0].strip())
    return next(said, begins_after) + 1


def _holds(document: Any, path: Sequence[str | int]) -> bool:
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _readable(lines: list[str], at_most: int) -> tuple[int, dict[str, Any]]:
    """The longest beginning of the file that is TOML by itself: its number of lines, and what it says."""
    for count in range(at_most, 0, -1):
        try:
            return count, tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
    return 0, {}
