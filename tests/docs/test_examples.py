"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hexhail.demo.demo import DemoParams, running_city
from hexhail.runtime.kernel_cache import cache_dir
from tests.readme_example import EXAMPLE, carry_out_the_example

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_readme_shows_the_example_that_is_run() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert shown in EXAMPLE.read_text()


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.servers
async def test_the_example_carries_a_ride_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    """On SQLite it runs in `tests/api`, in the installation that is there."""
    params = DemoParams(run_dir=tmp_path / "run", cache_dir=cache_dir(), port=0, speed=4, database_url=postgres_url)
    async with running_city(params, lambda sentence: None) as demo:
        await carry_out_the_example(demo.url, demo.env)
