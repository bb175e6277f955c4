"""Decides whether a stream can resume from a position, or which reset the client gets. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class LogState:
    """The log behind all inboxes, as Redis knows it."""

    #: Position up to which the inboxes are complete; None while they are being built anew, or if nobody knows.
    newest: int | None
    #: Changes each time the inboxes were cleared because SQL's positions had gone back; None if that never happened, or
    #: if Redis has forgotten.
    restored: str | None


class Gap(StrEnum):
    """Why a stream cannot go on from the position that its client named, or had reached."""

    AHEAD = "ahead_of_log"
    NOT_KEPT = "not_kept"
    RESTORED = "log_restored"


WORDS = {
    Gap.AHEAD: "The position is ahead of everything that has happened: an older state of the service was restored.",
    Gap.NOT_KEPT: "The event at this position is no longer kept: what came after it may be missing.",
    Gap.RESTORED: "An older state of the service was restored: some of what you were told no longer holds.",
}


def judge_resumption(after: int, log: LogState, *, is_kept: bool) -> Gap | None:
    """Return what is wrong with going on after the last event that a client says it has; None if nothing is.

    ``is_kept`` says whether the client's inbox has an event at this position. While the inboxes are not complete,
    nothing is known to be wrong.
    """
    if after == 0 or log.newest is None:
        return None
    if after > log.newest:
        return Gap.AHEAD
    return None if is_kept else Gap.NOT_KEPT


def judge_open(after: int, before: LogState | None, now: LogState) -> Gap | None:
    """Return why a stream cannot resume after a position, given the log then and now; None if it can."""
    if after == 0 or now.newest is None:
        return None
    if before is not None and now.restored is not None and now.restored != before.restored:
        return Gap.RESTORED
    return Gap.AHEAD if after > now.newest else None
