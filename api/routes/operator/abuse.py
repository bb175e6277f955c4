"""Route for abuse flags: quote storms, cancel loops, swarms at one point."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import OperatorDep
from api.edges import OperatorEdgesDep
from api.schemas.abuse import FlagBody, FlagsBody

router = APIRouter(prefix="/v1/ops", tags=["operators"])


@router.get("/flags", summary="Quote storms, cancel loops and swarms")
async def read_flags(edges: OperatorEdgesDep, operator: OperatorDep) -> FlagsBody:
    """The latest flags, newest first. A lasting one is flagged again after five minutes. Limits are in `[limits]`."""
    return FlagsBody(flags=[FlagBody.of(flag) for flag in await edges.flags()])
