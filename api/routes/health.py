"""Is it alive, is it ready, what does it count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from api.edges import EdgesDep
from api.schemas import Health

router = APIRouter(tags=["health"])

CHECK_TIMEOUT_S = 2.0


@router.get("/healthz", summary="The process is alive")
async def healthz() -> Health:
    """Says nothing about what it depends on: restarting it would not mend that."""
    return Health(status="ok")


@router.get("/readyz", summary="Everything it depends on answers", responses={503: {"model": Health}})
async def readyz(edges: EdgesDep) -> Response:
    """503 with the failing part's own words if not."""
    results = await asyncio.gather(*(_check(check) for check in edges.checks.values()))
    checks = dict(zip(edges.checks, results, strict=True))
    ok = all(result == "ok" for result in results)
    health = Health(status="ok" if ok else "failing", checks=checks)
    return JSONResponse(health.model_dump(), 200 if ok else 503)


async def _check(check: Callable[[], Awaitable[Any]]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:.0f} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics() -> Response:
    """The text format."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
