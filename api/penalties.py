"""Tokens whose streams were just cut off for sending too much: they may not open another one for some seconds."""

from __future__ import annotations

from collections.abc import Iterable

#: Wall seconds. A connection that comes meanwhile is held for as long and then refused, which costs the server a
#: twentieth of a stream that is opened, and a client that connects again and again its time.
PENALTY_S = 5.0
#: Connections held at once: some kilobytes each. One more is refused without waiting.
HELD_MAX = 1_000
#: Tokens remembered: the oldest gives way.
TOKENS_MAX = 4_096


class PenaltyBox:
    """Which tokens wait, and how many connections are held because of that. Times are of any one clock."""

    def __init__(self) -> None:
        self._until_s: dict[bytes, float] = {}
        self.held = 0

    def put(self, credential: bytes, now_s: float) -> None:
        """Have a token wait from now on."""
        self._until_s.pop(credential, None)
        if len(self._until_s) >= TOKENS_MAX:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[credential] = now_s + PENALTY_S

    def waits(self, credential: bytes, now_s: float) -> bool:
        """Return whether the token has to wait."""
        until_s = self._until_s.get(credential)
        if until_s is None:
            return False
        if until_s > now_s:
            return True
        del self._until_s[credential]
        return False


def credential_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return what names the token in the headers of a handshake, their names in lower case; empty if nothing does."""
    found = dict(headers)
    return found.get(b"authorization") or found.get(b"sec-websocket-protocol") or b""
