"""Abuse flags, as operators see them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from api.schemas.base import Seconds
from workflows.limits import Flag, FlagKind


class FlagBody(BaseModel):
    """Something to look at."""

    kind: FlagKind
    subject: Annotated[str, Field(description="the rider's id, or for swarms the point as `lat,lng` in degrees")]
    at_s: Seconds
    count: Annotated[int, Field(description="quotes, cancellations, riders or drivers that were counted then")]
    window_s: Annotated[
        float, Field(description="city seconds in which they were counted; 0 for drivers, who are there at once")
    ]

    @classmethod
    def of(cls, flag: Flag) -> FlagBody:
        """The public face of a flag."""
        return cls(kind=flag.kind, subject=flag.subject, at_s=flag.at_s, count=flag.count, window_s=flag.window_s)


class FlagsBody(BaseModel):
    """The last ones, the newest first."""

    flags: list[FlagBody]
