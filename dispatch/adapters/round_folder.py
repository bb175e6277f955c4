"""The files of recorded rounds in a folder: what is kept, and the deletion of what is too old or too much."""

from __future__ import annotations

import asyncio
import fcntl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dispatch.adapters.round_files import SUFFIX, TIMES_SUFFIX
from dispatch.rules.kept_rounds import RoundFile, files_to_delete, times_to_delete

#: Files of a step: each is deleted within milliseconds.
STEP_FILES = 4


@dataclass(frozen=True, slots=True)
class Kept:
    """What a folder holds."""

    files: int
    #: With the travel times that the rounds name.
    size_bytes: int
    #: When the oldest file was begun, wall seconds; None if there is none.
    oldest_s: float | None


class RoundFolder:
    """Recorded rounds of any process, deleted after a time and beyond a size."""

    def __init__(self, folder: Path, keep_s: float = 0.0, bytes_max: float = 0.0) -> None:
        """See `files_to_delete` for the limits."""
        self._folder = folder
        self._keep_s = keep_s
        self._bytes_max = bytes_max

    async def forget(self) -> int:
        """Delete up to `STEP_FILES` files that have to go, and of travel times that no round needs; return how many.

        Raises OSError.
        """
        return await asyncio.to_thread(self._forget)

    def kept(self) -> Kept:
        """Return what is there; nothing if there is no folder."""
        files, times = self._files(), self._times()
        size_bytes = sum(file.size_bytes for file in files) + sum(size for size, _ in times.values())
        return Kept(len(files), size_bytes, min((file.began_s for file in files), default=None))

    def _forget(self) -> int:
        files, times = self._files(), self._times()
        other_bytes = sum(size for size, _ in times.values())
        due = files_to_delete(files, time.time(), self._keep_s, self._bytes_max, other_bytes)[:STEP_FILES]
        for file in due:
            (self._folder / file.name).unlink(missing_ok=True)
        kept = [file for file in files if file not in due]
        unused = times_to_delete({name: used_s for name, (_, used_s) in times.items()}, kept)
        for name in unused[:STEP_FILES]:
            self._delete_times(name, times[name][1])
        return len(due) + len(unused[:STEP_FILES])

    def _delete_times(self, name: str, used_s: float) -> None:
        """Delete travel times, unless a process has taken them into use again by now."""
        with suppress(FileNotFoundError):
            if (self._folder / name).stat().st_mtime == used_s:
                (self._folder / name).unlink()

    def _files(self) -> list[RoundFile]:
        found = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):  # another process deleted it
                status = path.stat()
                began_s = _began_s(path) or status.st_mtime
                found.append(RoundFile(path.name, status.st_size, began_s, status.st_mtime, _is_open(path)))
        return found

    def _times(self) -> dict[str, tuple[int, float]]:
        """Size and time of last use of each file of travel times."""
        found = {}
        for path in self._folder.glob(f"*{TIMES_SUFFIX}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found[path.name] = (status.st_size, status.st_mtime)
        return found


def _began_s(path: Path) -> float | None:
    """The time in a file's name; None if it is not one of ours."""
    number = path.name.removesuffix(SUFFIX).rpartition("-")[2]
    return int(number) / 1e9 if number.isdecimal() else None


def _is_open(path: Path) -> bool:
    """Whether a process writes to the file: it holds its lock."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
