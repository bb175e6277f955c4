"""Every section of a city's file, and loading a city whose sections are all right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dispatch.model import DispatchParams, LimitParams
from geo.city import CITY_FILE, City, Region, load_city
from kernel.section_reader import ParamsRefused, read_params, refusal, refusals_of, refuse_unknown_sections
from location_ingest.model import IngestParams, StoreParams
from pricing.adapters.tariff_file import read_tariff
from pricing.errors import TariffRefused
from pricing.model.advice import RepositioningParams
from pricing.model.surge import SurgeParams
from pricing.model.tariff import Tariff
from simulator.streets.congestion import TrafficParams
from traffic.model import LearnedTrafficParams

#: The sections that are read into parameters, in the order in which they are explained.
PARAMS: tuple[type[Any], ...] = (
    Region,
    DispatchParams,
    LimitParams,
    SurgeParams,
    RepositioningParams,
    IngestParams,
    StoreParams,
    TrafficParams,
    LearnedTrafficParams,
)
#: Sections with readers of their own: the tariff, and where the city comes from, which nobody reads but people.
OTHERS = ("tariff", "source")


def load_checked_city(folder: Path) -> City:
    """Load a city once every section of its file is right: what a process must do before it serves or simulates one.

    Raises ParamsRefused, which says what is wrong at which line, TariffRefused likewise, and what `load_city` raises.
    """
    city = load_city(folder)
    refuse_unknown_sections(city.sections, [*(params.SECTION for params in PARAMS), *OTHERS])
    for params in PARAMS:
        read_params(city.sections, params)
    _check_limits(city.sections)
    read_tariff(folder / CITY_FILE)
    return city


def problems_of(folder: Path) -> list[ParamsRefused | TariffRefused]:
    """Return every error of a city's file, section by section. Raises OSError and what `load_city` raises."""
    city, found = load_city(folder), list[ParamsRefused | TariffRefused]()
    try:
        refuse_unknown_sections(city.sections, [*(params.SECTION for params in PARAMS), *OTHERS])
    except ParamsRefused as problem:
        found.append(problem)
    for params in PARAMS:
        found += refusals_of(city.sections, params)
    for check in (lambda: None if found else _check_limits(city.sections), lambda: tariff_in(folder)):
        try:
            check()
        except (ParamsRefused, TariffRefused) as problem:
            found.append(problem)
    return found


def tariff_in(folder: Path) -> Tariff:
    """The tariff of a city's file. Raises TariffRefused or OSError."""
    return read_tariff(folder / CITY_FILE)


def _check_limits(sections: Mapping[str, Any]) -> None:
    """Refuse positions that are removed before they are stale: their removal would decide who may be asked."""
    stale_after_s = read_params(sections, DispatchParams).stale_after_s
    remove_after_s = read_params(sections, StoreParams).remove_after_s
    if not remove_after_s > stale_after_s:
        expected = f"more than [dispatch] stale_after_s, which is {stale_after_s:g}"
        raise refusal(sections, (StoreParams.SECTION, "remove_after_s"), f"{remove_after_s:g}", expected)
