"""The packed position of a driver, as ingestion writes it into the cells and others read it.

Fixed-point degrees keep 1 cm; everything is little-endian, so that the bytes mean the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: One driver as stored in a cell: 24 bytes.
PACKED = np.dtype(
    [
        ("t_ms", "<i8"),  # city time of the ping
        ("lat_e7", "<i4"),
        ("lng_e7", "<i4"),
        ("speed_cmps", "<u2"),
        ("heading_cdeg", "<u2"),  # hundredths of a degree, UNKNOWN_HEADING if the phone did not say
        ("flags", "<u4"),  # reserved, written as 0
    ]
)
UNKNOWN_HEADING = 0xFFFF
SPEED_MPS_MAX = 655.35


def pack(
    t_s: NDArray[np.float64],
    lat_deg: NDArray[np.float64],
    lng_deg: NDArray[np.float64],
    speed_mps: NDArray[np.float64],
    heading_deg: NDArray[np.float64],
) -> NDArray[Any]:
    """Pack n positions.

    All arguments have shape (n,); a NaN speed becomes 0 and a NaN heading unknown. Returns (n,) of `PACKED`.
    """
    out = np.zeros(len(t_s), PACKED)
    out["t_ms"] = np.rint(t_s * 1e3)
    out["lat_e7"] = np.rint(lat_deg * 1e7)
    out["lng_e7"] = np.rint(lng_deg * 1e7)
    out["speed_cmps"] = np.rint(np.clip(np.nan_to_num(speed_mps), 0.0, SPEED_MPS_MAX) * 100)
    known = ~np.isnan(heading_deg)
    heading_cdeg = np.rint(np.where(known, heading_deg, 0.0) % 360.0 * 100) % 36000
    out["heading_cdeg"] = np.where(known, heading_cdeg, UNKNOWN_HEADING)
    return out


def unpack(packed: list[bytes]) -> NDArray[Any]:
    """Decode n records as read from Redis into one (n,) array of `PACKED`.

    Raises ValueError for a record of another length, such as one written by another version.
    """
    wrong = next((len(record) for record in packed if len(record) != PACKED.itemsize), None)
    if wrong is not None:
        raise ValueError(
            f"a packed position has {PACKED.itemsize} bytes, this one {wrong}: was it written by another version?"
        )
    return np.frombuffer(b"".join(packed), PACKED)


def newest_positions(
    entries: Sequence[tuple[bytes, bytes]],
) -> tuple[tuple[str, ...], NDArray[Any], dict[str, str]]:
    """Return the drivers' ids, ascending, their newest positions (n,) of `PACKED`, and why which entries were left out.

    ``entries`` are (driver_id, packed position) of all cells of a region. A driver who crosses a border while the cells
    are read may stand in two of them. One bad entry takes no position from the others.
    """
    named = [(name.decode(errors="replace"), value) for name, value in entries]
    left_out = {
        name: f"{len(value)} bytes, not {PACKED.itemsize}: was it written by another version?"
        for name, value in named
        if len(value) != PACKED.itemsize
    }
    packed = unpack([value for _, value in named if len(value) == PACKED.itemsize])
    driver_id = np.array([name for name, value in named if len(value) == PACKED.itemsize], dtype=np.str_)
    on_globe = (np.abs(packed["lat_e7"] / 1e7) <= 90.0) & (np.abs(packed["lng_e7"] / 1e7) <= 180.0)
    if not on_globe.all():
        left_out |= dict.fromkeys(driver_id[~on_globe].tolist(), "a place that is not on the globe")
        driver_id, packed = driver_id[on_globe], packed[on_globe]
    order = np.lexsort((packed["t_ms"], driver_id))
    driver_id, packed = driver_id[order], packed[order]
    is_newest = np.append(driver_id[1:] != driver_id[:-1], True)[: len(order)]
    return tuple(driver_id[is_newest].tolist()), packed[is_newest], left_out
