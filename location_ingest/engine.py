"""Decides which pings are believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from location_ingest.commands import Command
from location_ingest.events import Event, PingRejected, PositionAccepted
from location_ingest.model import IngestParams
from location_ingest.rules import Track, judge


class IngestEngine:
    """Remembers the last believed ping of each driver. Waits for nothing; the caller brings the time."""

    def __init__(self, params: IngestParams | None = None) -> None:
        self._params = params or IngestParams()
        # In the order of the last change: whoever has been silent longest stands first.
        self._tracks: dict[str, Track] = {}

    def __len__(self) -> int:
        """How many drivers are remembered."""
        return len(self._tracks)

    def handle(self, command: Command, now_s: float) -> list[Event]:
        """Judge the pings in their order; one event each."""
        # By the time of receipt, so that a replay decides as the first run did; but no message is from times to come.
        received_s = min(command.received_s, now_s)
        events: list[Event] = []
        for ping in command.pings:
            before = self._tracks.get(ping.driver_id)
            reason, after = judge(ping, before, received_s, self._params)
            if after is not None and after is not before:
                self._tracks.pop(ping.driver_id, None)
                self._tracks[ping.driver_id] = after
            if reason is None:
                events.append(PositionAccepted(command.region, ping))
            else:
                events.append(PingRejected(command.region, ping, reason))
        self._forget(now_s)
        return events

    def tracks_of(self, driver_ids: Iterable[str]) -> dict[str, Track | None]:
        """Return what is remembered of the drivers: to `restore` it if what was decided could not be stored."""
        return {driver_id: self._tracks.get(driver_id) for driver_id in driver_ids}

    def restore(self, tracks: Mapping[str, Track | None]) -> None:
        """Forget what was decided since `tracks_of`, so that the same pings are judged alike again."""
        for driver_id, track in tracks.items():
            if track is None:
                self._tracks.pop(driver_id, None)
            else:
                self._tracks[driver_id] = track

    def _forget(self, now_s: float) -> None:
        silent_since_s = now_s - self._params.forget_after_s
        while self._tracks:
            driver_id, track = next(iter(self._tracks.items()))
            if track.last.t_s >= silent_since_s and len(self._tracks) <= self._params.drivers_max:
                return
            del self._tracks[driver_id]
