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
    found = []
    for role in roles:
        command = [sys.executable, "-m", "hexhail", "serve", role]
        if role != "api" or len(settings.city_folders) == 1:
            found.append(Spec(role, command))
            continue
        for number, folder in enumerate(settings.city_folders):
            env = {"HEXHAIL_CITY_DIR": str(folder), "HEXHAIL_API_PORT": str(settings.api_port + number)}
            if settings.internal_port is not None:
                env["HEXHAIL_INTERNAL_PORT"] = str(settings.internal_port + number)
            found.append(Spec(f"api-{folder.name}", command, env))
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
