"""Build the documentation site: `python -m docs.site`, called by `make docs`. Ends with an error for a broken link."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from docs.site import commands, configuration, http_api, ride_life
from docs.site.pages import ROOT, BrokenLink, find_pages, linked

STAGE = ROOT / ".cache" / "site"
#: Pages that are made from the code.
GENERATED = {
    "reference/configuration.md": configuration.page,
    "reference/commands.md": commands.page,
    "reference/http-api.md": http_api.page,
    "reference/ride-life.md": ride_life.page,
}


def stage(folder: Path) -> None:
    """Write every page and picture of the site into a folder. Raises BrokenLink."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = find_pages()
    places = {page.source: page.place for page in pages}
    for page in pages:
        _write(folder / page.place, linked((ROOT / page.source).read_text(encoding="utf-8"), page, places))
    for place, make in GENERATED.items():
        _write(folder / place, make())
    shutil.copytree(ROOT / "docs" / "images", folder / "images")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Stage the pages and build the site; return the exit code."""
    try:
        stage(STAGE / "docs")
    except BrokenLink as error:
        print(f"docs: {error}", file=sys.stderr)
        return 1
    shutil.copy(Path(__file__).with_name("zensical.toml"), STAGE / "zensical.toml")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "zensical.toml"]
    done = subprocess.run(command, cwd=STAGE, check=False)
    if done.returncode == 0:
        print(f"the site is in {STAGE.relative_to(ROOT) / 'site'}: open index.html there")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
