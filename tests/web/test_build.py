"""`make web` builds the pages when their sources have changed by content, and needs Node for nothing else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACE = "web/src/replay/trace.ts"
#: Stands for npm: what it builds does not matter here, only when it is asked.
NPM = """#!/bin/sh
echo "$*" >> ../npm.log
mkdir -p dist && echo page > dist/index.html
"""


class Checkout:
    """A copy of the Makefile and the web sources, on a machine with and without Node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "Makefile", folder)
        shutil.copytree(ROOT / "web", folder / "web", ignore=shutil.ignore_patterns("dist", "node_modules"))
        tools, node = folder / "tools", folder / "node"
        tools.mkdir()
        node.mkdir()
        for name in ("sh", "find", "sort", "xargs", "cksum", "cat", "make", "mkdir", "echo", "touch"):
            (tools / name).symlink_to(shutil.which(name) or "/missing")
        (node / "npm").write_text(NPM)
        (node / "npm").chmod((node / "npm").stat().st_mode | stat.S_IEXEC)

    def make(self, *, has_node: bool) -> str:
        path = f"{self.folder}/node:{self.folder}/tools" if has_node else f"{self.folder}/tools"
        done = subprocess.run(
            [shutil.which("make") or "make", "web"],
            cwd=self.folder,
            env={"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def builds(self) -> int:
        log = self.folder / "npm.log"
        return log.read_text().count("run --silent build") if log.is_file() else 0

    def edit(self) -> None:
        """Change a source, with a time of change long before the build, as a checkout may bring it."""
        path = self.folder / TRACE
        path.write_text(path.read_text() + "\n// changed\n")
        os.utime(path, (1_000_000_000, 1_000_000_000))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_pages_are_built_once_and_again_after_a_change_also_of_a_file_that_is_older_than_the_pages(
    checkout: Checkout,
) -> None:
    checkout.make(has_node=True)
    checkout.make(has_node=True)
    assert checkout.builds == 1
    checkout.edit()
    checkout.make(has_node=True)
    assert checkout.builds == 2
    (checkout.folder / TRACE).touch()  # the same content
    checkout.make(has_node=True)
    assert checkout.builds == 2
    (checkout.folder / TRACE).unlink()
    checkout.make(has_node=True)
    assert checkout.builds == 3


def test_without_node_nothing_is_asked_for_while_nothing_has_changed_and_a_change_is_told(checkout: Checkout) -> None:
    assert "without its map" in checkout.make(has_node=False)
    checkout.make(has_node=True)
    assert checkout.make(has_node=False) == ""
    checkout.edit()
    assert "of older sources" in checkout.make(has_node=False)
    assert checkout.builds == 1
