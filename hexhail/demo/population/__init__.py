"""Simulated riders and drivers as real clients: they know nothing of the city but its public REST and WebSocket API.

How they decide and move is in `simulator/`; here is what a phone does: send, listen, retry, resume.
"""

from hexhail.demo.population.figures import PopulationFigures
from hexhail.demo.population.run import PopulationReport, PopulationSettings, run_population

__all__ = ["PopulationFigures", "PopulationReport", "PopulationSettings", "run_population"]
