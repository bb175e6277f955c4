"""Which surcharges of a tariff a trip owes: by the region's clock, and by the zones that it touches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo import cells
from pricing.model.tariff import WEEKDAYS, LocalTime, Surcharge, Tariff


@dataclass(frozen=True, slots=True)
class Touched:
    """The zones, by name, that hold the ends of a trip, and those that hold any crossing of its way."""

    pickup: frozenset[str] = frozenset()
    dropoff: frozenset[str] = frozenset()
    way: frozenset[str] = frozenset()


def zones_touched(tariff: Tariff, lat_deg: npt.ArrayLike, lng_deg: npt.ArrayLike) -> frozenset[str]:
    """Return the names of the zones that hold any of the places (n,)."""
    cells_by_resolution: dict[int, set[str]] = {}
    for resolution in {zone.resolution for zone in tariff.zones}:
        held = np.unique(cells.latlng_to_cells(lat_deg, lng_deg, resolution))
        cells_by_resolution[resolution] = set(cells.cells_to_strings(held))
    return frozenset(
        zone.name for zone in tariff.zones if not cells_by_resolution[zone.resolution].isdisjoint(zone.cells)
    )


def surcharges_due(tariff: Tariff, local: LocalTime, touched: Touched) -> tuple[Surcharge, ...]:
    """Return the surcharges that apply to a trip quoted at this local time, in the order of the tariff."""
    return tuple(entry for entry in tariff.surcharges if _is_now(entry, local) and _is_here(entry, touched))


def _is_now(surcharge: Surcharge, local: LocalTime) -> bool:
    if surcharge.from_s is None or surcharge.until_s is None:
        return _is_on(surcharge, local.weekday)
    if surcharge.from_s < surcharge.until_s:
        return surcharge.from_s <= local.second_of_day < surcharge.until_s and _is_on(surcharge, local.weekday)
    # Over midnight: the small hours belong to the day before.
    if local.second_of_day >= surcharge.from_s:
        return _is_on(surcharge, local.weekday)
    return local.second_of_day < surcharge.until_s and _is_on(surcharge, local.weekday - 1)


def _is_on(surcharge: Surcharge, weekday: int) -> bool:
    return not surcharge.weekdays or WEEKDAYS[weekday % len(WEEKDAYS)] in surcharge.weekdays


def _is_here(surcharge: Surcharge, touched: Touched) -> bool:
    if surcharge.zone is None:
        return True
    where = {
        "pickup": touched.pickup,
        "dropoff": touched.dropoff,
        "either": touched.pickup | touched.dropoff,
        "way": touched.pickup | touched.dropoff | touched.way,
    }
    return surcharge.zone in where[surcharge.at]
