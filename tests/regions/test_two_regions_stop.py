"""The end of the installation that the tests of this folder share: the last of them."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.api.two_regions import ServedCities
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.servers


async def test_all_processes_are_looked_after_and_end_together(served_cities: ServedCities) -> None:
    pids = json.loads((served_cities.folder / "workers" / "logs" / "processes.json").read_text())
    assert set(pids) == {"api-minato", "api-harlem", "ingester", "matcher", "pricer", "relay", "traffic"}
    served_cities.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(served_cities.process.wait, PATIENCE_S)
    said = served_cities.log.read_text()
    assert served_cities.process.returncode == 0, said
    assert "serving api, ingester, matcher, pricer, relay" in said
    assert not [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]
