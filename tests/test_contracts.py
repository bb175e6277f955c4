"""The import contracts hold, and they would notice a file that breaks them."""

from __future__ import annotations

import graphlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    # Wide, for it breaks its lines.
    env = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "300"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_copied_tree_keeps_all_contracts(copied_tree: Path) -> None:
    done = lint(copied_tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("dispatch/loose.py", "", "loose"),
        ("kernel/loose.py", "", "loose"),
        ("geo/loose.py", "", "loose"),
        ("api/loose.py", "", "loose"),
        ("workflows/loose.py", "", "loose"),
        ("workflows/quote.py", "import dispatch.adapters.redis_leases\n", "dispatch.adapters"),
        ("dispatch/service/loose.py", "import workflows.quote\n", "dispatch is not allowed to import workflows"),
        ("simulator/loose.py", "", "loose"),
        ("hexhail/loose.py", "", "loose"),
        ("pricing/service/quick.py", "import redis\n", "pricing.service is not allowed to import redis"),
        ("dispatch/service/quick.py", "import pricing.engine\n", "dispatch is not allowed to import pricing"),
        ("simulator/people/quick.py", "import dispatch.adapters.redis_leases\n", "dispatch.adapters"),
    ],
)
def test_a_file_in_no_layer_or_with_a_forbidden_import_is_refused(
    copied_tree: Path, file: str, text: str, told: str
) -> None:
    (copied_tree / file).write_text(text, encoding="utf-8")
    done = lint(copied_tree)
    assert done.returncode != 0
    assert told in done.stdout


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    # Raises CycleError, which names the circle.
    in_order = list(graphlib.TopologicalSorter(imports).static_order())
    assert set(in_order) >= graph.modules


def test_every_package_is_under_contract_and_in_the_wheel() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    assert found == set(PACKAGES) == set(wheel)


#: Of one folder: more than a reader takes in at a glance.
FILES_MAX = 25


def test_no_folder_holds_more_files_than_a_reader_takes_in_at_a_glance() -> None:
    folders = [
        folder for top in (*PACKAGES, "tests", "benchmarks") for folder in (ROOT / top, *(ROOT / top).rglob("*/"))
    ]
    count = {folder: sum(path.suffix == ".py" for path in folder.iterdir()) for folder in folders if folder.is_dir()}
    assert {str(folder.relative_to(ROOT)): n for folder, n in count.items() if n > FILES_MAX} == {}
