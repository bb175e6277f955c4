"""The array types of the package, and the checks of arguments that public functions share."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NodeArray = npt.NDArray[np.int32]
CellArray = npt.NDArray[np.uint64]
BoolArray = npt.NDArray[np.bool_]


def float_vector(name: str, values: npt.ArrayLike) -> FloatArray:
    """Return ``values`` as a contiguous float64 vector; a scalar becomes a vector of one.

    Raises ValueError naming ``name`` if there is more than one dimension.
    """
    vector = np.ascontiguousarray(np.atleast_1d(np.asarray(values, dtype=np.float64)))
    if vector.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not shape {vector.shape}")
    return vector


def coordinates(lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both as float64 vectors of one length (n,), checked to be points on the globe.

    Raises ValueError if the lengths differ, or a latitude is outside [-90, 90], or anything is not finite.
    Longitudes may be any finite number: 190 is -170.
    """
    lat, lng = float_vector("lat_deg", lat_deg), float_vector("lng_deg", lng_deg)
    if lat.shape != lng.shape:
        raise ValueError(f"lat_deg and lng_deg must have one length, not {lat.shape[0]} and {lng.shape[0]}")
    wrong = ~((np.abs(lat) <= 90.0) & np.isfinite(lng))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"not a place at position {at}: lat_deg={lat[at]}, lng_deg={lng[at]}; order is (lat, lng)")
    return lat, lng


def positions(name: str, values: npt.ArrayLike, count: int) -> IntArray:
    """Return ``values`` as int64 positions (n,) into something of length ``count``.

    Raises ValueError naming ``name`` and the first position that is not in [0, count), or if they are not integers.
    """
    raw: npt.NDArray[Any] = np.atleast_1d(np.asarray(values))
    if raw.ndim != 1 or (raw.size and not np.issubdtype(raw.dtype, np.integer)):
        raise ValueError(f"{name} must be one dimension of integers, not {raw.dtype} of shape {raw.shape}")
    vector = np.ascontiguousarray(raw.astype(np.int64))
    wrong = (vector < 0) | (vector >= count)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{name}[{at}] is {vector[at]}, outside 0 to {count - 1}")
    return vector


def positive_count(name: str, value: int) -> int:
    """Return ``value`` if it is at least 1, else raise ValueError naming ``name``."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return int(value)
