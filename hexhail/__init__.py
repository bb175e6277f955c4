"""The command line and the wiring: settings, process roles, cities, runs and the demo."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from hexhail.cities.sections import load_checked_city
    from hexhail.demo.demo import running_city
    from hexhail.runs.simulate import simulate
    from hexhail.runtime.settings import Settings

__all__ = ["Settings", "load_checked_city", "running_city", "simulate"]

__getattr__ = lazy(
    __name__,
    {
        "Settings": "runtime.settings",
        "load_checked_city": "cities.sections",
        "running_city": "demo.demo",
        "simulate": "runs.simulate",
    },
)
