"""Progress output of a demo: a line that is redrawn on a terminal, or a line every ten seconds in a log."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.status import Status

#: Without a terminal a log is being written: it wants less.
LOG_EVERY_S = 10.0


class DemoProgress:
    """Sentences and figures on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._logged_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self._console.print(sentence)

    def show(self, figures: dict[str, Any]) -> None:
        """Show the figures of this second."""
        limit_s = figures["limit_s"]
        elapsed = f"{figures['elapsed_s']:.0f} s" + (f" of {limit_s:.0f}" if limit_s else "")
        wait_s = figures["pickup_wait_mean_s"]
        round_ms = figures["round_ms_p50"]
        line = (
            f"{elapsed} · {figures['drivers_idle']} idle, {figures['drivers_busy']} busy drivers · "
            f"{figures['requests_open']} open requests · {figures['rides_completed']} rides completed · "
            f"pickup wait {'-' if wait_s is None else f'{wait_s:.0f} s'} · {figures['pings_per_s']:.0f} pings/s · "
            f"round {'-' if round_ms is None else f'{round_ms:.0f} ms'} · surge up to {figures['surge_max']:.2f}"
        )
        if self._status is not None:
            self._status.update(line)
        elif figures["elapsed_s"] - self._logged_s >= LOG_EVERY_S:
            self._logged_s = figures["elapsed_s"]
            self._console.print(line)
