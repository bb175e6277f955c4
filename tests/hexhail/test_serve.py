"""`hexhail serve`: every role of an installation under one supervisor, over servers that are there already."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from hexhail import embedded

pytestmark = pytest.mark.servers


@pytest.fixture
def installation(valkey_port, broker_port, tmp_path):
    port = embedded.free_port()
    env = {
        **os.environ,
        "HEXHAIL_REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0",
        "HEXHAIL_BROKER_URL": f"127.0.0.1:{broker_port}",
        "HEXHAIL_DATABASE_URL": f"sqlite:///{tmp_path}/hexhail.db",
        "HEXHAIL_DATA_DIR": str(tmp_path / "data"),
        "HEXHAIL_API_PORT": str(port),
        "HEXHAIL_TOKEN_SECRETS": json.dumps({"k1": "0123456789abcdef" * 2}),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "hexhail", "serve"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    yield process, port, tmp_path / "data" / "logs"
    process.kill()
    process.communicate()


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=3.0).status_code == 200
    except httpx.HTTPError:
        return False


def test_all_roles_are_served_and_end_together(installation):
    process, port, logs = installation
    deadline = time.monotonic() + 60
    while not is_ready(port):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "not ready"
        time.sleep(0.2)
    pids = json.loads((logs / "processes.json").read_text())
    assert set(pids) == {"api", "ingester", "matcher", "pricer", "relay"}
    assert "hexhail_api_requests_total" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 0, output
    assert "serving api, ingester, matcher, pricer, relay" in output
    assert not [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]
