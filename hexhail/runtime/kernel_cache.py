"""Where compiled kernels are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder of everything that is kept between runs."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hexhail"
    numba = os.environ.get("NUMBA_CACHE_DIR")
    return Path(numba).parent if numba else default


def use_kernel_cache() -> None:
    """Let numba keep its kernels there unless NUMBA_CACHE_DIR is set; call it before numba is imported."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_dir() / "numba"))
