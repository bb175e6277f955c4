"""Runs the example of the README against an installation."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.patience import PATIENCE_S

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "one_ride.py"


async def carry_out_the_example(url: str, env: Mapping[str, str]) -> None:
    """Run it in a process of its own; fails unless it prints a quote and the fare of a ride that has ended."""
    env = {**os.environ, **env, "HEXHAIL_API_URL": url}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    run = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(run.communicate(), PATIENCE_S)
    assert run.returncode == 0, output.decode()
    assert re.search(r"\d+\.\d\d USD, \d+ m", output.decode())
    assert re.search(r"arrived after \d\d:\d\d: \d+\.\d\d USD", output.decode())
