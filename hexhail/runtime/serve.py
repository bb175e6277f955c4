"""All roles of an installation under one supervisor."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence

from hexhail.runtime.settings import Settings
from hexhail.runtime.supervisor import Spec, Supervisor


def specs(roles: Sequence[str], settings: Settings) -> list[Spec]:
    """The processes of the roles: one each, but for the API one for each city, on ports that follow each other."""
    found: list[Spec] = []
    for role in roles:
        command = [sys.executable, "-m", "hexhail", "serve", role]
        for suffix, env in _instances(role, settings):
            if settings.metrics_port:
                env["HEXHAIL_METRICS_PORT"] = str(settings.metrics_port + len(found))
            drain_s = settings.drain_s + settings.drain_spread_s if role == "api" else 0.0
            found.append(Spec(role + suffix, command, env, drain_s))
    return found


def _instances(role: str, settings: Settings) -> list[tuple[str, dict[str, str]]]:
    """What the name of each process of a role ends in, and its settings."""
    if role != "api" or len(settings.city_folders) == 1:
        return [("", {})]
    found = []
    for number, folder in enumerate(settings.city_folders):
        env = {"HEXHAIL_CITY_DIR": str(folder), "HEXHAIL_API_PORT": str(settings.api_port + number)}
        if settings.internal_port is not None:
            env["HEXHAIL_INTERNAL_PORT"] = str(settings.internal_port + number)
        found.append((f"-{folder.name}", env))
    return found


async def serve_all(roles: Sequence[str], settings: Settings, say: Callable[[str], None]) -> None:
    """Run the roles until SIGTERM or SIGINT. Raises GaveUp if one cannot be kept running."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log_dir = settings.data_dir / "logs"
    supervisor = Supervisor(log_dir)
    try:
        for spec in specs(roles, settings):
            await supervisor.start(spec)
        say(f"serving {', '.join(roles)}; logs in {log_dir}; Ctrl-C ends it")
        while not stop.is_set():
            await supervisor.wait(0.5)
    finally:
        await supervisor.close()
