"""The public names of each package exist, and looking at a package imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from tests.test_contracts import PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_no_other(package: str) -> None:
    module = import_module(package)
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_importing_the_packages_imports_no_compiler() -> None:
    heavy = {"numba", "numpy", "fastapi", "redis"}
    code = f"import sys, {', '.join(PACKAGES)}; sys.exit(bool({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
