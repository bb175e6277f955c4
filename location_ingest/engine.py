"""The reference ingestion engine: decides which pings are accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from location_ingest.commands import Command
from location_ingest.events import Event, PingRejected, PositionAccepted
from location_ingest.model import IngestParams
from location_ingest.rules import Track, is_irrelevant, judge

#: Key of a track: region and driver. Another worker may own another region of the driver, so tracks are kept per
#: region, and decisions depend on the messages of one partition alone.
TrackKey = tuple[str, str]


class IngestEngine:
    """Keeps the track of each driver and judges pings. Does no I/O; the caller passes the time."""

    def __init__(self, params: IngestParams | None = None) -> None:
        self._params = params or IngestParams()
        # Per region, in the order of the last change: the longest silent driver comes first.
        self._tracks: dict[str, dict[str, Track]] = {}

    def __len__(self) -> int:
        """How many tracks are remembered."""
        return sum(map(len, self._tracks.values()))

    def handle(self, command: Command, now_s: float) -> list[Event]:
        """Judge the pings in their order; one event each."""
        # Judge by the time of receipt, so that a replay decides as the first run did; cap it at now.
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
        """Return the tracks of the drivers, for `restore` if the decisions cannot be stored."""
        return {(region_id, driver_id): self._tracks.get(region_id, {}).get(driver_id) for region_id, driver_id in keys}

    def restore(self, tracks: Mapping[TrackKey, Track | None]) -> None:
        """Undo the decisions since `tracks_of`, so that the same pings can be judged again with the same result."""
        for (region_id, driver_id), track in tracks.items():
            of_region = self._tracks.setdefault(region_id, {})
            if track is None:
                of_region.pop(driver_id, None)
            else:
                of_region[driver_id] = track

    def _forget(self, tracks: dict[str, Track], received_s: float) -> None:
        """Bound the memory: drop tracks too old to affect a verdict, then the longest silent ones above the limit."""
        while tracks:
            driver_id, track = next(iter(tracks.items()))
            if len(tracks) <= self._params.drivers_max and not is_irrelevant(track, received_s, self._params):
                return
            del tracks[driver_id]
