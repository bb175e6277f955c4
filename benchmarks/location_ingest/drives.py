"""Drawn drives with the truth known, and what smoothing and hysteresis would make of their positions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.common.measure import Report
from geo.cells import cell_to_latlng, latlng_to_cells
from geo.distances import EARTH_RADIUS_M, great_circle_m

Floats = npt.NDArray[np.float64]

LAT_DEG, LNG_DEG = 37.77, -122.43
M_PER_DEG_LAT = np.radians(EARTH_RADIUS_M)
M_PER_DEG_LNG = M_PER_DEG_LAT * np.cos(np.radians(LAT_DEG))
CRUISE_MPS = 9.0
#: A receiver between houses errs by this much, and for some seconds in the same direction: half of it after this.
NOISE_M = 8.0
NOISE_HALF_S = 20.0
#: Blocks of this length, a light at each second corner, for as long.
BLOCK_M = 120.0
STOP_S = 25.0


@dataclass(frozen=True)
class Drives:
    """d drives of p pings.

    Attributes:
        t_s: (p,). lat_deg, lng_deg: (d, p) as received. true_m, seen_m: (d, p, 2) metres east and north of the centre.
    """

    t_s: Floats
    lat_deg: Floats
    lng_deg: Floats
    true_m: Floats
    seen_m: Floats


def drawn_drives(
    drivers: int, duration_s: float, every_s: float, seed: int, noise_half_s: float = NOISE_HALF_S
) -> Drives:
    """Drive on a grid of blocks with turns and lights, seen by receivers whose errors last (half-life in seconds)."""
    rng = np.random.default_rng(seed)
    t_s = 1.2e9 + np.arange(0.0, duration_s, every_s)
    true_m = np.stack([_drive(rng, t_s - t_s[0]) for _ in range(drivers)])
    keep = 0.5 ** (every_s / noise_half_s) if noise_half_s else 0.0
    noise_m = rng.normal(0.0, NOISE_M, true_m.shape)
    for ping in range(1, len(t_s)):
        noise_m[:, ping] = keep * noise_m[:, ping - 1] + np.sqrt(1.0 - keep**2) * noise_m[:, ping]
    seen_m = true_m + noise_m
    return Drives(
        t_s, LAT_DEG + seen_m[..., 1] / M_PER_DEG_LAT, LNG_DEG + seen_m[..., 0] / M_PER_DEG_LNG, true_m, seen_m
    )


def _drive(rng: np.random.Generator, elapsed_s: Floats) -> Floats:
    """Return (p, 2) metres: along corners that are reached one after the other, resting at some of them."""
    corners = int(elapsed_s[-1] * CRUISE_MPS / BLOCK_M) + 2
    # Turn at a third of the corners; never back.
    turns = np.where(rng.random(corners) < 1 / 3, rng.choice([-1, 1], corners), 0).cumsum() % 4
    step_m = BLOCK_M * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])[turns]
    place_m = np.vstack([rng.uniform(-3000, 3000, 2), step_m]).cumsum(axis=0)
    drive_s = BLOCK_M / (CRUISE_MPS * rng.uniform(0.6, 1.4, corners))
    rest_s = np.where(rng.random(corners) < 0.5, rng.uniform(0.0, 2 * STOP_S, corners), 0.0)
    reach_s = np.concatenate([[0.0], (drive_s + rest_s).cumsum()])
    leave_s = reach_s[:-1] + rest_s
    knots_s = np.column_stack([reach_s[:-1], leave_s]).ravel()
    knots_m = np.repeat(place_m[:-1], 2, axis=0)
    return np.column_stack([np.interp(elapsed_s, knots_s, knots_m[:, axis]) for axis in (0, 1)])


def exponential(seen_m: Floats, weight: float) -> Floats:
    """Return (d, p, 2): each position drawn towards the one before; the weight is that of the new one."""
    out = seen_m.copy()
    for ping in range(1, seen_m.shape[1]):
        out[:, ping] = out[:, ping - 1] + weight * (seen_m[:, ping] - out[:, ping - 1])
    return out


def alpha_beta(seen_m: Floats, every_s: float, alpha: float, beta: float) -> Floats:
    """Return (d, p, 2): a filter that believes in constant speed, corrected by a share of what it did not foresee."""
    out, speed_mps = seen_m.copy(), np.zeros(seen_m[:, 0].shape)
    for ping in range(1, seen_m.shape[1]):
        foreseen_m = out[:, ping - 1] + every_s * speed_mps
        surprise_m = seen_m[:, ping] - foreseen_m
        out[:, ping] = foreseen_m + alpha * surprise_m
        speed_mps = speed_mps + beta / every_s * surprise_m
    return out


def compare_smoothing(report: Report, *, small: bool) -> None:
    """Report the distance from the truth of positions as received and as smoothed, and what hysteresis saves."""
    every_s = 4.0
    rows: list[list[object]] = []
    for errors, half_s in (("that last", NOISE_HALF_S), ("anew each time", 0.0)):
        drives = drawn_drives(10 if small else 200, 1_800.0, every_s, seed=4, noise_half_s=half_s)
        tried = {"as received": drives.seen_m}
        tried |= {f"exponential, weight {weight}": exponential(drives.seen_m, weight) for weight in (0.8, 0.6)}
        tried |= {f"alpha-beta {a}/{b}": alpha_beta(drives.seen_m, every_s, a, b) for a, b in ((0.9, 0.4), (0.7, 0.2))}
        for name, placed_m in tried.items():
            off_m = np.hypot(*np.moveaxis(placed_m - drives.true_m, -1, 0))
            rows.append([errors, name, float(off_m.mean()), float(np.quantile(off_m, 0.95))])
        if half_s:
            _compare_hysteresis(drives, report)
    report.table("Smoothing of drawn drives, a ping each 4 s", ["errors", "position", "mean off m", "p95 off m"], rows)


def _compare_hysteresis(drives: Drives, report: Report) -> None:
    rows: list[list[object]] = []
    pings = drives.lat_deg.size
    for resolution in (8, 9):
        for border_m in (0.0, 10.0, 25.0, 50.0):
            changes = sum(
                int(np.count_nonzero(np.diff(kept)))
                for kept in (
                    held_cells(lat, lng, resolution, border_m).view(np.int64)
                    for lat, lng in zip(drives.lat_deg, drives.lng_deg, strict=True)
                )
            )
            rows.append([resolution, border_m, 100.0 * changes / pings])
    report.table("Cell borders", ["resolution", "held within m of the border", "pings that change the cell %"], rows)


def held_cells(lat_deg: Floats, lng_deg: Floats, resolution: int, border_m: float) -> npt.NDArray[np.uint64]:
    """Return the cell of each ping of a drive (p,), where a driver stays until she is so far behind the border."""
    cells = latlng_to_cells(lat_deg, lng_deg, resolution)
    for ping in range(1, len(cells)):
        if cells[ping] != cells[ping - 1]:
            centre_lat, centre_lng = cell_to_latlng(cells[ping - 1 : ping + 1])
            left_m, entered_m = great_circle_m(lat_deg[ping], lng_deg[ping], centre_lat, centre_lng)
            # Of two centres, the line between them is crossed at half the difference of the distances.
            if (left_m - entered_m) / 2.0 < border_m:
                cells[ping] = cells[ping - 1]
    return cells
