"""All roles of an installation under one supervisor."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hexhail.supervisor import Spec, Supervisor


async def serve_all(roles: Sequence[str], log_dir: Path, say: Callable[[str], None]) -> None:
    """Run the roles until SIGTERM or SIGINT. Raises GaveUp if one cannot be kept running."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    supervisor = Supervisor(log_dir)
    try:
        for role in roles:
            await supervisor.start(Spec(role, [sys.executable, "-m", "hexhail", "serve", role]))
        say(f"serving {', '.join(roles)}; logs in {log_dir}; Ctrl-C ends it")
        while not stop.is_set():
            await supervisor.wait(0.5)
    finally:
        await supervisor.close()
