"""Recorded rounds in files: for each its length (four bytes, little-endian) and zlib-packed MessagePack.

A round of 3,000 riders and 4,500 drivers takes about 270 kB. A file that ends in the middle of a round, because its
process was killed, is read up to there. Travel times other than the city's own stand once in a file of their own, which
rounds name by its digest.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from functools import cache, partial
from io import FileIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import msgspec
import numpy as np
from numpy.typing import NDArray

from dispatch.events import MatchFound
from dispatch.model import DispatchParams, SupplySnapshot
from dispatch.ports import RoundRecord
from geo.array_files import save_arrays

SUFFIX = ".rounds"
TIMES_SUFFIX = ".times.npz"
#: Rounds are deleted by whole files: small enough that one more or less is no matter, large enough to be few.
FILE_BYTES_MAX = 64_000_000
_FILE_NS_MAX = 86_400 * 10**9
_LENGTH = struct.Struct("<I")
#: Ids repeat from round to round but not within one: more effort gains little.
_ZLIB_LEVEL = 1
_DIGEST_DIGITS = 16


class FileRoundRecords:
    """`RoundRecords` in files of this process in a folder, made if need be; a new file when one is full or a day old.

    The rounds of one file are of one map: another one begins a new file.

    The file that is written is locked, so that no process deletes it (`dispatch.adapters.round_folder`). One process
    writes from one thread at a time.
    """

    def __init__(self, folder: Path, region_id: str, file_bytes_max: int = FILE_BYTES_MAX) -> None:
        self._file: FileIO | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._region_id = region_id
        self._file_bytes_max = file_bytes_max
        self._began_ns = 0
        self._map_id = ""
        self._digest = ""
        self._times_s: NDArray[np.float64] | None = None

    async def write(self, record: RoundRecord) -> None:
        """See `RoundRecords.write`; a round is on disk when the system writes it there. Raises OSError."""
        await asyncio.to_thread(self._append, record)

    def close(self) -> None:
        """Release the file: it may be deleted from now on; the next round begins another one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()

    def _append(self, record: RoundRecord) -> None:
        is_new = self._is_full() or record.map_id != self._map_id
        if is_new:
            self._begin()
            self._map_id = record.map_id
        if is_new or record.travel_time_s is not self._times_s:
            self._keep_times(record.travel_time_s)
        packed = zlib.compress(encode(record, self._digest), _ZLIB_LEVEL)
        assert self._file is not None  # begun above
        size = os.fstat(self._file.fileno()).st_size
        try:
            _write(self._file, _LENGTH.pack(len(packed)) + packed)
        except OSError:
            with suppress(OSError):  # half a round would hide those after it
                os.truncate(self._file.fileno(), size)
            raise

    def _is_full(self) -> bool:
        """Whether the next round begins a file: there is none, or it is large, a day old, or deleted by somebody."""
        if self._file is None or time.time_ns() - self._began_ns >= _FILE_NS_MAX:
            return True
        status = os.fstat(self._file.fileno())
        return status.st_size >= self._file_bytes_max or status.st_nlink == 0

    def _begin(self) -> None:
        self.close()
        # By the time, not the process id: in a container that is the same after each start.
        self._began_ns = time.time_ns()
        path = self._folder / f"{self._region_id}-{self._began_ns}{SUFFIX}"
        self._file = path.open("ab", buffering=0)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def _keep_times(self, times_s: NDArray[np.float64] | None) -> None:
        """Write travel times unless they are written already, and have rounds name them from now on.

        The file's time says when they were last taken into use: after the beginning of each file that names them.
        """
        if times_s is None:
            self._digest = ""
        else:
            digest = hashlib.sha256(times_s.tobytes()).hexdigest()[:_DIGEST_DIGITS]
            path = self._folder / f"{digest}{TIMES_SUFFIX}"
            if not path.exists():
                save_arrays(path, {"travel_time_s": times_s})
            used_ns = time.time_ns()
            os.utime(path, ns=(used_ns, used_ns))
            self._digest = digest
        self._times_s = times_s


def _write(file: FileIO, packed: bytes) -> None:
    """Write all of it; without a buffer, one call may write less."""
    left = memoryview(packed)
    while left:
        left = left[file.write(left) :]


def encode(record: RoundRecord, times_digest: str = "") -> bytes:
    """The record as MessagePack; arrays as their type and bytes, travel times as the digest that names their file."""
    supply = {field.name: _plain(getattr(record.supply, field.name)) for field in fields(SupplySnapshot)}
    return msgspec.msgpack.encode(
        {
            "region": record.region_id,
            "params": record.params,
            "waiting": record.waiting,
            "supply": supply,
            "matches": record.matches,
            "travel_times": times_digest,
            "map": record.map_id,
        }
    )


def decode(packed: bytes, times_of: Callable[[str], NDArray[np.float64]]) -> RoundRecord:
    """The record in MessagePack; ``times_of`` finds travel times by digest. Raises ValueError for anything else."""
    try:
        read = msgspec.msgpack.decode(packed)
        return RoundRecord(
            region_id=read["region"],
            params=msgspec.convert(read["params"], DispatchParams),
            waiting=tuple((ride_id, sequence) for ride_id, sequence in read["waiting"]),
            supply=SupplySnapshot(**{name: _restored(value) for name, value in read["supply"].items()}),
            matches=tuple(msgspec.convert(read["matches"], list[MatchFound])),
            # Rounds recorded before travel times were learned name none.
            travel_time_s=times_of(digest) if (digest := read.get("travel_times", "")) else None,
            map_id=read.get("map", ""),
        )
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise ValueError(f"not a recorded round: {error!r}") from error


def read_rounds(folder: Path) -> list[RoundRecord]:
    """Every round in a folder's files, the oldest first. Raises ValueError for a broken or missing file."""
    records = [record for of_file in rounds_by_file(folder).values() for record in of_file]
    return sorted(records, key=lambda record: (record.supply.now_s, record.region_id))


def rounds_by_file(folder: Path) -> dict[Path, list[RoundRecord]]:
    """The rounds of each file, in their order; the rounds of one file are of one map. Raises as `read_rounds`."""
    times_of = cache(partial(_read_times, folder))
    return {path: list(_read_file(path, times_of)) for path in sorted(folder.glob(f"*{SUFFIX}"))}


def _read_times(folder: Path, digest: str) -> NDArray[np.float64]:
    path = folder / f"{digest}{TIMES_SUFFIX}"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            times_s: NDArray[np.float64] = stored["travel_time_s"]
    except (OSError, BadZipFile, KeyError, EOFError, ValueError) as error:
        raise ValueError(f"{path} holds no travel times ({error}), and rounds were decided on them") from error
    return times_s


def _read_file(path: Path, times_of: Callable[[str], NDArray[np.float64]]) -> Iterator[RoundRecord]:
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            packed = file.read(length)
            if len(packed) < length:
                return
            yield decode(zlib.decompress(packed), times_of)


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return {"dtype": value.dtype.str, "shape": value.shape, "bytes": value.tobytes()}


def _restored(value: Any) -> Any:
    if isinstance(value, dict) and {"dtype", "bytes"} <= value.keys():
        read = np.frombuffer(value["bytes"], np.dtype(value["dtype"])).copy()
        return read.reshape(value.get("shape", -1))  # rounds of version 0.2 and before have vectors alone
    return tuple(value) if isinstance(value, list) else value
