"""Recorded rounds in files: for each its length (four bytes, little-endian) and zlib-packed MessagePack.

A round of 3,000 riders and 4,500 drivers takes about 270 kB. A file that ends in the middle of a round, because its
process was killed, is read up to there.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dispatch.events import MatchFound
from dispatch.model import DispatchParams, SupplySnapshot
from dispatch.ports import RoundRecord

SUFFIX = ".rounds"
_LENGTH = struct.Struct("<I")
#: Ids repeat from round to round but not within one: more effort gains little.
_ZLIB_LEVEL = 1


class FileRoundRecords:
    """`RoundRecords` in one file of this process in a folder, made if need be."""

    def __init__(self, folder: Path, region_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # By the time, not the process id: in a container that is the same after each start.
        self._path = folder / f"{region_id}-{time.time_ns()}{SUFFIX}"

    async def write(self, record: RoundRecord) -> None:
        """See `RoundRecords.write`; a round is on disk when the system writes it there. Raises OSError."""
        await asyncio.to_thread(self._append, record)

    def _append(self, record: RoundRecord) -> None:
        packed = zlib.compress(encode(record), _ZLIB_LEVEL)
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("ab") as file:
                file.write(_LENGTH.pack(len(packed)) + packed)
        except OSError:
            with suppress(OSError):  # half a round would hide those after it
                os.truncate(self._path, size)
            raise


def encode(record: RoundRecord) -> bytes:
    """The record as MessagePack; arrays as their type and bytes."""
    supply = {field.name: _plain(getattr(record.supply, field.name)) for field in fields(SupplySnapshot)}
    return msgspec.msgpack.encode(
        {
            "region": record.region_id,
            "params": record.params,
            "waiting": record.waiting,
            "supply": supply,
            "matches": record.matches,
        }
    )


def decode(packed: bytes) -> RoundRecord:
    """The record in MessagePack. Raises ValueError for anything else."""
    try:
        read = msgspec.msgpack.decode(packed)
        return RoundRecord(
            region_id=read["region"],
            params=msgspec.convert(read["params"], DispatchParams),
            waiting=tuple((ride_id, sequence) for ride_id, sequence in read["waiting"]),
            supply=SupplySnapshot(**{name: _restored(value) for name, value in read["supply"].items()}),
            matches=tuple(msgspec.convert(read["matches"], list[MatchFound])),
        )
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise ValueError(f"not a recorded round: {error!r}") from error


def read_rounds(folder: Path) -> list[RoundRecord]:
    """Every round in a folder's files, the oldest first."""
    records = [record for path in sorted(folder.glob(f"*{SUFFIX}")) for record in _read_file(path)]
    return sorted(records, key=lambda record: (record.supply.now_s, record.region_id))


def _read_file(path: Path) -> Iterator[RoundRecord]:
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            packed = file.read(length)
            if len(packed) < length:
                return
            yield decode(zlib.decompress(packed))


def _plain(value: Any) -> Any:
    return {"dtype": value.dtype.str, "bytes": value.tobytes()} if isinstance(value, np.ndarray) else value


def _restored(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"dtype", "bytes"}:
        return np.frombuffer(value["bytes"], np.dtype(value["dtype"])).copy()
    return tuple(value) if isinstance(value, list) else value
