"""Files of named arrays, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays and single values by name to one compressed file; a reader finds the old file or the new one."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)  # opened here, for numpy would add a suffix to the name
    unfinished.replace(path)
