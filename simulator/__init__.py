"""A city's day in virtual time: riders and drivers, served by the shipped engines. No clock, no waiting, no tool."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from simulator.day import Day, Outcome
    from simulator.day_params import Acceptance, DayParams
    from simulator.demand.inputs import DriverStarts, PlacedRequests, read_drivers, read_requests
    from simulator.demand.requests import Requests

__all__ = [
    "Acceptance",
    "Day",
    "DayParams",
    "DriverStarts",
    "Outcome",
    "PlacedRequests",
    "Requests",
    "read_drivers",
    "read_requests",
]

__getattr__ = lazy(
    __name__,
    {
        "Acceptance": "day_params",
        "Day": "day",
        "DayParams": "day_params",
        "DriverStarts": "demand.inputs",
        "Outcome": "day",
        "PlacedRequests": "demand.inputs",
        "Requests": "demand.requests",
        "read_drivers": "demand.inputs",
        "read_requests": "demand.inputs",
    },
)
