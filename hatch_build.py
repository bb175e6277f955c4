"""Build hook: the wheel carries the built web pages, so that an installed hexhail shows its map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebPages(BuildHookInterface):  # type: ignore[type-arg]  # the configuration that it is generic in is not used
    """Adds `web/dist` to a wheel as `hexhail/web`; an editable installation reads the pages from the checkout."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build."""
        pages = Path(self.root) / "web" / "dist"
        if version == "editable":
            return
        if (pages / "index.html").is_file():
            build_data["force_include"][str(pages)] = "hexhail/web"
        else:
            self.app.display_warning("web/dist is not built: this wheel has no map. Run `make wheel` (needs Node).")
