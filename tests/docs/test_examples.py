"""What the README shows runs as it stands there."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hexhail.demo.demo import DemoParams, running_city
from hexhail.runtime.kernel_cache import cache_dir
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = ROOT / "docs" / "examples" / "one_ride.py"


def test_the_readme_shows_the_example_that_is_run() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert shown in EXAMPLE.read_text()


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.servers
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_the_example_carries_a_ride_from_quote_to_fare(
    database: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    params = DemoParams(
        run_dir=tmp_path / "run",
        cache_dir=cache_dir(),
        port=0,
        speed=4,
        database_url=request.getfixturevalue("postgres_url") if database == "postgres" else None,
    )
    async with running_city(params, lambda sentence: None) as demo:
        env = {**os.environ, **demo.env, "HEXHAIL_API_URL": demo.url}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        run = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(run.communicate(), PATIENCE_S)
    assert run.returncode == 0, output.decode()
    assert re.search(r"\d+\.\d\d USD, \d+ m", output.decode())
    assert re.search(r"arrived after \d\d:\d\d: \d+\.\d\d USD", output.decode())
