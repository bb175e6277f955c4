"""Runs the population as a process: `python -m hexhail.demo.population`, configured by environment variables."""

from __future__ import annotations

import asyncio
import signal
import time
from functools import lru_cache
from pathlib import Path

import stamina
import structlog
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.auth.tokens import Role, Tokens
from backing.faust_worker import use_uvloop
from hexhail.demo.population import PopulationSettings, run_population
from hexhail.runtime import limits, logs
from hexhail.runtime.settings import Settings
from hexhail.runtime.token_keys import load_token_keys

TOKEN_LIFE_S = 3600.0
#: People sign in anew this often, well before a token expires: one that was revoked is then replaced.
SIGN_IN_EVERY_S = 30.0
#: Tokens kept: of more people than are in any demo at once.
TOKENS_KEPT = 8192


class PopulationEnvironment(BaseSettings):
    """`HEXHAIL_POPULATION_…`."""

    model_config = SettingsConfigDict(env_prefix="HEXHAIL_POPULATION_")

    api_url: str
    drivers: int
    seed: int
    figures: Path


async def live() -> None:
    """Run the population until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings, environment = Settings(), PopulationEnvironment()  # type: ignore[call-arg]
    tokens = Tokens(load_token_keys(settings))

    @lru_cache(TOKENS_KEPT)
    def signed(role: str, subject: str, sign_in: int) -> str:
        return tokens.issue(Role(role), subject, TOKEN_LIFE_S)

    def token_of(role: str, subject: str) -> str:
        return signed(role, subject, int(time.monotonic() / SIGN_IN_EVERY_S))

    report = await run_population(
        PopulationSettings(
            api_url=environment.api_url,
            token_of=token_of,
            city_folder=settings.city_dir,
            clock=settings.clock(),
            seed=environment.seed,
            n_drivers=environment.drivers,
            figures_path=environment.figures,
        ),
        stop,
    )
    structlog.get_logger(__name__).info("population_went_home", riders_open=report.riders_open, drivers=report.drivers)


if __name__ == "__main__":
    logs.configure("population")
    # The figures count what failed: a line for each try of hundreds of people would say no more.
    stamina.instrumentation.set_on_retry_hooks([])
    limits.raise_open_files()
    use_uvloop()
    asyncio.run(live())
