"""Great-circle distances on a sphere, vectorised."""

import numpy as np
import numpy.typing as npt

from geo.arrays import FloatArray, coordinates

# The authalic radius of WGS84, the sphere of equal area: the one H3 uses, so that distances agree with it.
EARTH_RADIUS_M = 6_371_007.180918475


def great_circle_m(
    lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike, to_lat_deg: npt.ArrayLike, to_lng_deg: npt.ArrayLike
) -> FloatArray:
    """Return the metres (n,) between points paired by position; vectors of length 1 are repeated.

    The haversine form (Sinnott 1984), which keeps its precision at short distances.
    Raises ValueError for coordinates that do not exist.
    """
    lat, lng = coordinates(lat_deg, lng_deg)
    to_lat, to_lng = coordinates(to_lat_deg, to_lng_deg)
    phi, to_phi = np.radians(lat), np.radians(to_lat)
    half_lat = np.sin((to_phi - phi) / 2.0)
    half_lng = np.sin(np.radians(to_lng - lng) / 2.0)
    share = half_lat**2 + np.cos(phi) * np.cos(to_phi) * half_lng**2
    distance: FloatArray = 2.0 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(share, 1.0)))
    return distance


def lng_change_deg(from_lng_deg: FloatArray, to_lng_deg: FloatArray) -> FloatArray:
    """Return the degrees (n,) from one longitude to another the short way round, -180 to 180: east is positive."""
    change = to_lng_deg - from_lng_deg
    return np.where(np.abs(change) > 180.0, change - 360.0 * np.rint(change / 360.0), change)


def within_globe_deg(lng_deg: FloatArray) -> FloatArray:
    """Return longitudes (n,) that ran past 180° as they are written, -180 to 180; others stay bit for bit."""
    return np.where(np.abs(lng_deg) > 180.0, lng_deg - 360.0 * np.rint(lng_deg / 360.0), lng_deg)


def unrolled_deg(lng_deg: FloatArray) -> FloatArray:
    """Return longitudes (n,) of points in a row without the leap at 180°: 179.9, -179.9 become 179.9, 180.1.

    For lines on a plane. All stay within half the globe of the first; bit for bit as given where nothing leaps.
    """
    return lng_deg[:1] + lng_change_deg(lng_deg[:1], lng_deg) if np.ptp(lng_deg) > 180.0 else lng_deg


def lng_extent_deg(lng_deg: FloatArray) -> tuple[float, float]:
    """Return (west, east) of the narrowest span that holds longitudes (n,), n > 0, each -180 to 180.

    West is above east where the span holds 180°, as in GeoJSON (RFC 7946, section 5.2).
    """
    least, most = float(lng_deg.min()), float(lng_deg.max())
    if most - least <= 180.0:
        return least, most
    ascending = np.unique(lng_deg)
    gap = int(np.argmax(np.diff(ascending)))
    if ascending[gap + 1] - ascending[gap] <= 360.0 - (most - least):
        return least, most
    return float(ascending[gap + 1]), float(ascending[gap])


def unit_vectors(lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> FloatArray:
    """Return the points as unit vectors (n, 3), which need no special case at the poles or the antimeridian.

    Raises ValueError for coordinates that do not exist.
    """
    lat, lng = coordinates(lat_deg, lng_deg)
    phi, theta = np.radians(lat), np.radians(lng)
    xyz = np.empty((lat.shape[0], 3))
    xyz[:, 0] = np.cos(phi) * np.cos(theta)
    xyz[:, 1] = np.cos(phi) * np.sin(theta)
    xyz[:, 2] = np.sin(phi)
    return xyz


def places_of_vectors(xyz: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (lat_deg (n,), lng_deg (n,)) of vectors (n, 3) from the centre of the globe, of any length but 0."""
    lat_rad = np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1]))
    return np.degrees(lat_rad), np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))


def chord_to_m(chord: npt.ArrayLike) -> FloatArray:
    """Return the great-circle metres of straight chords through the unit sphere; infinity stays infinity."""
    chords = np.asarray(chord, dtype=np.float64)
    arc = 2.0 * EARTH_RADIUS_M * np.arcsin(np.minimum(chords / 2.0, 1.0))
    metres: FloatArray = np.where(np.isinf(chords), np.inf, arc)
    return metres


def m_to_chord(distance_m: float) -> float:
    """Return the chord on the unit sphere of a great-circle distance; half the globe and more gives 2."""
    return float(2.0 * np.sin(min(distance_m / (2.0 * EARTH_RADIUS_M), np.pi / 2.0)))
