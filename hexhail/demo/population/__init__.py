"""Simulated riders and drivers as clients that use only the public REST and WebSocket API.

Their behaviour comes from `simulator/`; this package is the phone: it sends, listens, retries and resumes.
"""

from hexhail.demo.population.figures import PopulationFigures
from hexhail.demo.population.run import PopulationReport, PopulationSettings, run_population

__all__ = ["PopulationFigures", "PopulationReport", "PopulationSettings", "run_population"]
