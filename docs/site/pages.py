"""The pages of the site, and links between files of the repository turned into links between pages."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
#: Files outside docs/ that are pages, by their place on the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "hexhail/cities/manhattan/README.md": "manhattan.md",
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~)", re.MULTILINE)


class BrokenLink(Exception):
    """A page links to a file that does not exist."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its file in the repository and its place on the site, both relative."""

    source: str
    place: str


def find_pages(root: Path = ROOT) -> list[Page]:
    """Every Markdown page, those of docs/ under the path that they have there."""
    outside = [Page(source, place) for source, place in ROOT_PAGES.items()]
    inside = [path.relative_to(root / "docs").as_posix() for path in (root / "docs").rglob("*.md")]
    return outside + [Page(f"docs/{place}", _index(place)) for place in sorted(inside)]


def _index(place: str) -> str:
    """A README is the index of its folder."""
    path = PurePosixPath(place)
    return str(path.with_name("index.md")) if path.name == "README.md" else place


def linked(text: str, page: Page, places: dict[str, str], root: Path = ROOT) -> str:
    """The text with links that work on the site.

    `places` maps files of the repository to pages. A link to a file that is no page becomes its text: the site has no
    address of the repository. Raises BrokenLink for a link to a file that does not exist.
    """

    def replaced(match: re.Match[str]) -> str:
        mark, label, target = match.groups()
        if target.startswith(("http://", "https://", "mailto:", "#")):
            return match[0]
        path, hash_sign, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(page.source), path))  # noqa: PTH118, PTH120 - a text, no file
        if not (root / file).exists():
            raise BrokenLink(f"{page.source} links to {target}, which does not exist")
        place = places.get(file) or places.get(f"{file}/README.md")
        if place is None and mark:
            place = file.removeprefix("docs/")
        if place is None:
            return label if label.startswith("`") else f"`{label}`"
        relative = os.path.relpath(place, os.path.dirname(page.place) or ".")  # noqa: PTH120 - a text, no file
        return f"{mark}[{label}]({relative}{hash_sign}{anchor})"

    return "".join(part if is_code else _LINK.sub(replaced, part) for part, is_code in _split_code(text))


def _split_code(text: str) -> list[tuple[str, bool]]:
    """(part, whether it is a block of code), in order."""
    parts, begin, is_code = [], 0, False
    for fence in _FENCE.finditer(text):
        parts.append((text[begin : fence.start()], is_code))
        begin, is_code = fence.start(), not is_code
    return [*parts, (text[begin:], is_code)]
