"""The city of the ingest benchmark: four regions side by side, drivers who go up and down their avenue at 10 m/s."""

import msgspec
import numpy as np

from geo.cells import latlng_to_cells

REGIONS = ["west", "middle", "east", "far"]
RESOLUTION = 8
FRAME_PINGS = 10
#: GPS at 10 Hz, a frame each second.
PING_EVERY_S = 0.1
FRAME_EVERY_S = FRAME_PINGS * PING_EVERY_S
SOUTH_DEG, NORTH_DEG, WEST_DEG, REGION_DEG = 40.0, 40.2, -74.0, 0.25
SPEED_MPS = 10.0
DRIVERS_MAX = 50_000
_METRES_PER_DEGREE = 111_195.0


def _cells() -> tuple[np.ndarray, np.ndarray]:
    lat, lng = np.meshgrid(
        np.arange(SOUTH_DEG - 0.01, NORTH_DEG + 0.01, 0.002), np.arange(0.0, len(REGIONS) * REGION_DEG, 0.002)
    )
    cells, first = np.unique(latlng_to_cells(lat.ravel(), WEST_DEG + lng.ravel(), RESOLUTION), return_index=True)
    return cells, (lng.ravel()[first] // REGION_DEG).astype(int)


CELLS, REGION_OF_CELL = _cells()


class Fleet:
    """Drivers with a fixed avenue each, the same in every fleet; where they are is a function of the time."""

    def __init__(self, drivers: int, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.driver_ids = [f"d{number:07}" for number in range(drivers)]
        self.region_id = np.arange(drivers) % len(REGIONS)
        self.lng_deg = WEST_DEG + REGION_DEG * (self.region_id + rng.uniform(0.02, 0.98, DRIVERS_MAX)[:drivers])
        self._phase = rng.uniform(0.0, 2.0, DRIVERS_MAX)[:drivers]

    def lat_deg(self, driver: np.ndarray, t_s: np.ndarray) -> np.ndarray:
        """Return the latitudes (n, ...) of the drivers (n,) at the times (n, ...)."""
        span_deg = NORTH_DEG - SOUTH_DEG
        phase = self._phase[driver].reshape(-1, *[1] * (t_s.ndim - 1))
        gone = (phase + SPEED_MPS * (t_s % 1e6) / _METRES_PER_DEGREE / span_deg) % 2.0
        return SOUTH_DEG + span_deg * np.minimum(gone, 2.0 - gone)


class Frames:
    """Frames of the fleet as bytes, all of one size: a template in which times and places are replaced."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        # Numbers that no other bytes of the frame resemble.
        marks = {"t_s": 1.1e100, "lat_deg": 2.2e100, "lng_deg": 3.3e100}
        ping = {**marks, "heading_deg": 0.0, "speed_mps": SPEED_MPS, "accuracy_m": 5.0}
        body = msgspec.msgpack.encode({"pings": [ping] * FRAME_PINGS})
        self.size = 8 + len(body)
        self._template = np.frombuffer(b"." * 8 + body, np.uint8)
        self._at = {name: _places_of(self._template, value) for name, value in marks.items()}
        self._ids = np.frombuffer("".join(fleet.driver_ids).encode(), np.uint8).reshape(-1, 8)

    def at(self, driver: np.ndarray, t_s: float) -> bytes:
        """Return a frame of each driver (n,) whose newest ping is of that time."""
        times = t_s - PING_EVERY_S * np.arange(FRAME_PINGS - 1, -1, -1.0)
        t = np.broadcast_to(times, (len(driver), FRAME_PINGS))
        frames = np.tile(self._template, (len(driver), 1))
        frames[:, :8] = self._ids[driver]
        lng = np.broadcast_to(self._fleet.lng_deg[driver][:, None], t.shape)
        for name, values in (("t_s", t), ("lat_deg", self._fleet.lat_deg(driver, t)), ("lng_deg", lng)):
            frames[:, self._at[name]] = np.ascontiguousarray(values, ">f8").view(np.uint8).reshape(len(driver), -1)
        return frames.tobytes()


def _places_of(template: np.ndarray, value: float) -> np.ndarray:
    """Return the places of the bytes of every occurrence of a number."""
    wanted, whole = np.array([value], ">f8").tobytes(), template.tobytes()
    starts = [at for at in range(len(whole)) if whole.startswith(wanted, at)]
    return np.array([start + byte for start in starts for byte in range(8)])
