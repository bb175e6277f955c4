"""The ride requests of a city as a struct of arrays: time, pickup, dropoff and party size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from geo.array_files import save_arrays
from geo.arrays import FloatArray

REQUESTS_FILE = "requests.npz"
# Raised when the meaning of a stored array changes; an older file is then refused rather than misread.
FORMAT_VERSION = 1
PLACES = ("pickup_lat_e6", "pickup_lng_e6", "dropoff_lat_e6", "dropoff_lng_e6")


@dataclass(frozen=True)
class Requests:
    """Ride requests of a city, sorted by time.

    Attributes:
        t_s: (n,) Unix seconds at which each rider appears, ascending.
        pickup_deg, dropoff_deg: (n, 2) latitude and longitude.
        party_size: (n,) uint8 seats needed, at least 1.
    """

    t_s: FloatArray
    pickup_deg: FloatArray
    dropoff_deg: FloatArray
    party_size: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        count = self.t_s.shape[0]
        for name, shape in (("pickup_deg", (count, 2)), ("dropoff_deg", (count, 2)), ("party_size", (count,))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}")
        if not np.isfinite(self.t_s).all() or (np.diff(self.t_s) < 0).any():
            raise ValueError("t_s must be finite and ascending")
        if count and self.party_size.min() < 1:
            raise ValueError("party_size must be at least 1")

    def __len__(self) -> int:
        return int(self.t_s.shape[0])

    def save(self, folder: Path) -> None:
        """Write the requests to ``folder``, places in millionths of a degree; the file appears whole or not at all."""
        path = folder / REQUESTS_FILE
        places = np.concatenate([self.pickup_deg, self.dropoff_deg], axis=1)
        columns = dict(zip(PLACES, np.rint(places * 1e6).astype(np.int32).T, strict=True))
        save_arrays(path, {"version": FORMAT_VERSION, "t_s": self.t_s, "party_size": self.party_size} | columns)


def load_requests(folder: Path) -> Requests:
    """Read the requests that ``Requests.save`` wrote.

    Raises FileNotFoundError if there are none, ValueError if the file is broken or of another format version.
    """
    path = folder / REQUESTS_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no requests at {path}: this city has roads but nobody who asks for a ride")
    try:
        with np.load(path, allow_pickle=False) as stored:
            version = int(stored["version"])
            places = np.stack([stored[name] for name in PLACES], axis=1) / 1e6
            requests = Requests(stored["t_s"], places[:, :2].copy(), places[:, 2:].copy(), stored["party_size"])
    except (BadZipFile, KeyError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} does not hold requests ({error}); convert the city again") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {version}, this program reads {FORMAT_VERSION}; convert it again")
    return requests
