"""Runs commands of `hexhail`: in this process, or in one of their own where the process itself is tested."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import NamedTuple

import pytest

from hexhail.cli.app import app
from tests.patience import PATIENCE_S


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def _environment(env: dict[str, str]) -> dict[str, str]:
    """The environment of a command: ours without our settings, wide lines, and what the test gives."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEXHAIL_")}
    return {**inherited, "COLUMNS": "200", **env}


def hexhail(*arguments: str, **env: str) -> Ended:
    """Run a command in this process, which has imported already what it needs."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        for name in set(os.environ) - set(environment := _environment(env)):
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            app(list(arguments), prog_name="hexhail")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return Ended(code, out.getvalue(), err.getvalue())


def hexhail_process(*arguments: str, **env: str) -> Ended:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "hexhail", *arguments]
    done = subprocess.run(command, env=_environment(env), capture_output=True, text=True, timeout=PATIENCE_S)
    return Ended(done.returncode, done.stdout, done.stderr)
