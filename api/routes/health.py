"""Three questions of monitoring: is the process alive, should it be given requests, and do the shared parts work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from api.edges import HealthEdgesDep
from api.schemas.health import Health
from backing.probes import WritesRefused
from backing.readiness import Readiness

log = structlog.get_logger(__name__)

router = APIRouter(tags=["health"])

CHECK_TIMEOUT_S = 2.0


@router.get("/healthz", summary="The process is alive")
async def healthz() -> Health:
    """Says nothing about what it depends on: restarting it would not mend that."""
    return Health(status="ok")


@router.get(
    "/readyz",
    summary="The process can take requests",
    response_model=Health,
    responses={503: {"model": Health, "description": "It is starting or draining"}},
)
async def readyz(request: Request) -> Response:
    """For load balancers: it has connected, read its city and loaded its kernels, and was not told to stop.

    The servers that all processes share do not count: one that is slow would take every process out at once, and with
    them all that can be served without it. `/v1/ops/health` tells of those.
    """
    readiness: Readiness = request.app.state.readiness
    health = Health(status="ok" if readiness.is_ready else "failing", checks={"process": readiness.stage})
    return JSONResponse(health.model_dump(), 200 if readiness.is_ready else 503)


@router.get(
    "/v1/ops/health",
    summary="Everything that processes share answers and takes writes",
    response_model=Health,
    responses={503: {"model": Health, "description": "A part does not answer, or refuses writes"}},
)
async def shared_health(edges: HealthEdgesDep) -> Response:
    """503 if not, and which part it is; its own words are in the log. At the internal port, without a token.

    Each store is written to, at most once a second: one that can be read may still refuse every ride. `matching` says
    whether rounds are run, which no API can mend: it alone is no reason for a 503.
    """
    results = await asyncio.gather(*(_check(name, check) for name, check in edges.checks.items()))
    checks = dict(zip(edges.checks, results, strict=True))
    ok = all(result == "ok" for result in results)
    checks["matching"] = await edges.matching()
    said = await asyncio.gather(*(_note(name, note) for name, note in edges.notes.items()))
    health = Health(status="ok" if ok else "failing", checks=checks, notes=dict(zip(edges.notes, said, strict=True)))
    return JSONResponse(health.model_dump(), 200 if ok else 503)


async def _note(name: str, note: Callable[[], Awaitable[str]]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await note()
    except Exception as error:
        log.warning("not_known", part=name, error=repr(error))
        return f"not known: {type(error).__name__}"


async def _check(name: str, check: Callable[[], Awaitable[Any]]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:.0f} s"
    except WritesRefused as error:
        log.warning("part_fails", part=name, error=repr(error))
        return f"refuses writes: {error}"
    except Exception as error:
        # Whoever may not log in need not learn addresses; the log has the words.
        log.warning("part_fails", part=name, error=repr(error))
        return f"failing: {type(error).__name__}"
    return "ok"


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics() -> Response:
    """The text format."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
