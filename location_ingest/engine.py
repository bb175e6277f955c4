"""Decides which pings are believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from location_ingest.commands import Command
from location_ingest.events import Event, PingRejected, PositionAccepted
from location_ingest.model import IngestParams
from location_ingest.rules import Track, counts_no_more, judge

#: Whose track: the region and the driver. What is believed of a driver in one region says nothing in another, which
#: may be another worker's: so decisions depend on the messages of one partition alone.
TrackKey = tuple[str, str]


class IngestEngine:
    """Remembers the track of each driver. Waits for nothing; the caller brings the time."""

    def __init__(self, params: IngestParams | None = None) -> None:
        self._params = params or IngestParams()
        # Of each region, in the order of the last change: whoever has been silent longest stands first.
        self._tracks: dict[str, dict[str, Track]] = {}

    def __len__(self) -> int:
        """How many tracks are remembered."""
        return sum(map(len, self._tracks.values()))

    def handle(self, command: Command, now_s: float) -> list[Event]:
        """Judge the pings in their order; one event each."""
        # By the time of receipt, so that a replay decides as the first run did; but no message is from times to come.
        received_s = min(command.received_s, now_s)
        tracks = self._tracks.setdefault(command.region_id, {})
        events: list[Event] = []
        for ping in command.pings:
            before = tracks.get(ping.driver_id)
            reason, after = judge(ping, before, received_s, self._params)
            if after is not None and after is not before:
                tracks.pop(ping.driver_id, None)
                tracks[ping.driver_id] = after
            if reason is None:
                events.append(PositionAccepted(command.region_id, ping))
            else:
                events.append(PingRejected(command.region_id, ping, reason))
        self._forget(tracks, received_s)
        return events

    def tracks_of(self, keys: Iterable[TrackKey]) -> dict[TrackKey, Track | None]:
        """Return what is remembered of the drivers: to `restore` it if what was decided could not be stored."""
        return {(region_id, driver_id): self._tracks.get(region_id, {}).get(driver_id) for region_id, driver_id in keys}

    def restore(self, tracks: Mapping[TrackKey, Track | None]) -> None:
        """Forget what was decided since `tracks_of`, so that the same pings are judged alike again."""
        for (region_id, driver_id), track in tracks.items():
            of_region = self._tracks.setdefault(region_id, {})
            if track is None:
                of_region.pop(driver_id, None)
            else:
                of_region[driver_id] = track

    def _forget(self, tracks: dict[str, Track], received_s: float) -> None:
        """Bound the memory; a track that goes for its age would not have counted any more."""
        while tracks:
            driver_id, track = next(iter(tracks.items()))
            if len(tracks) <= self._params.drivers_max and not counts_no_more(track, received_s, self._params):
                return
            del tracks[driver_id]
