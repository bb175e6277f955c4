"""Bodies of the health checks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Health(BaseModel):
    """The result of a health check, by dependency."""

    status: Literal["ok", "failing"]
    checks: dict[str, str] = Field(default_factory=dict)
    #: What should be looked at although requests are served: "ok" of each part that is as it should be.
    notes: dict[str, str] = Field(default_factory=dict)
