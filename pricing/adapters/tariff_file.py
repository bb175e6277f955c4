"""Reads the tariff of a region from its `city.toml`; a refusal names the line of the mistake."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from kernel.toml_lines import line_of
from pricing.errors import FieldWrong, TariffRefused
from pricing.model.tariff import Tariff
from pricing.ports import TariffStamp
from pricing.service.tariff_sections import MISSING, UNKNOWN_KEY, region_tariff_of


class TariffFile:
    """Meets the port `TariffSource` with a city file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stamp(self) -> TariffStamp:
        """See `TariffSource.stamp`: inode, time of the last write in nanoseconds, and size."""
        status = self._path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def read(self) -> Tariff:
        """See `TariffSource.read`."""
        return read_tariff(self._path)


def read_tariff(path: Path) -> Tariff:
    """Read the tariff of a city file. Raises TariffRefused, or OSError for a file that cannot be read."""
    return tariff_of_text(path.read_text(encoding="utf-8", errors="replace"), str(path))


def tariff_of_text(text: str, file: str) -> Tariff:
    """Return the tariff in the text of a city file. Raises TariffRefused, which calls the text ``file``."""
    try:
        return region_tariff_of(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"at line (\d+)", str(error))
        line = int(where[1]) if where else len(text.splitlines())
        raise TariffRefused(file, line, "the text", f"not TOML ({error})", "TOML 1.0") from error
    except FieldWrong as error:
        key = ".".join(str(part) for part in error.path)
        found = error.found if error.found in (MISSING, UNKNOWN_KEY) else repr(error.found)
        raise TariffRefused(file, line_of(text, error.path), key, str(found), error.expected) from error
