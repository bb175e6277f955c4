"""Which files of recorded rounds have to go: those that are too old, and the oldest of more than there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoundFile:
    """A file of recorded rounds."""

    name: str
    size_bytes: int
    #: Wall seconds since 1970: when it was begun, and when its last round was written.
    began_s: float
    written_s: float
    #: Whether a process writes to it.
    is_open: bool = False


def files_to_delete(
    files: Sequence[RoundFile], now_s: float, keep_s: float, bytes_max: float, other_bytes: int = 0
) -> list[RoundFile]:
    """Return the files to delete, those with the oldest last round first; never one that is being written.

    ``keep_s`` counts from a file's last round, so that every round is kept for at least so long, if there is room.
    ``bytes_max`` is for all files and ``other_bytes`` together. 0 sets no limit, of either.
    """
    excess_bytes = sum(file.size_bytes for file in files) + other_bytes - bytes_max if bytes_max else 0.0
    due = []
    for file in sorted(files, key=lambda file: (file.written_s, file.name)):
        if file.is_open:
            continue
        if (keep_s and now_s - file.written_s > keep_s) or excess_bytes > 0:
            due.append(file)
            excess_bytes -= file.size_bytes
    return due


def times_to_delete(used_s: dict[str, float], files: Sequence[RoundFile]) -> list[str]:
    """Return the files of travel times that no round needs: last used before the oldest of ``files`` was begun.

    ``used_s`` is when each was last taken into use, wall seconds; a file of rounds takes anew into use what it needs.
    """
    oldest_s = min((file.began_s for file in files), default=float("inf"))
    return sorted(name for name, at_s in used_s.items() if at_s < oldest_s)
