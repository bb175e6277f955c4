"""What operators see."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from api.auth.tokens import Role
from api.edges import Edges, EdgesDep, OperatorDep
from api.schemas import BoundsBody, CityBody, FiguresBody, RefusalBody, TariffBody, TotalsBody
from api.streams import sockets
from api.streams.live import LiveFeed
from geo.roads.graph import RoadGraph

router = APIRouter(prefix="/v1/ops", tags=["operators"])

GEOJSON = "application/geo+json"
#: What ingestion calls its counters of pings that were not believed.
REJECTED_PREFIX = "pings_rejected:"


@router.get("/city", summary="The city that is served")
async def read_city(edges: EdgesDep, operator: OperatorDep) -> CityBody:
    """Names, bounds and clock."""
    region = edges.city.region
    return CityBody(
        region_id=region.region_id,
        name=region.name,
        timezone=region.timezone,
        currency=region.currency,
        bounds_deg=BoundsBody(**edges.city.bounds_deg),
        attribution=region.attribution,
        speed=edges.speed,
    )


@router.get("/figures", summary="The figures of this moment")
async def read_figures(request: Request, operator: OperatorDep) -> FiguresBody:
    """What stands beside the live map."""
    feed: LiveFeed = request.app.state.live
    return FiguresBody(**(await feed.frame())["figures"])


@router.get("/totals", summary="How far the streams are")
async def read_totals(edges: EdgesDep, operator: OperatorDep) -> TotalsBody:
    """Events committed, published and consumed, and pings accepted, since the stores were new."""
    committed, published = await edges.store.outbox_progress()
    totals = (await edges.figures()).totals
    return TotalsBody(
        events_committed=committed,
        events_published=published,
        events_consumed=totals.get("ride_events_consumed", 0),
        pings_accepted=totals.get("pings_accepted", 0),
        pings_rejected={
            name.removeprefix(REJECTED_PREFIX): count
            for name, count in sorted(totals.items())
            if name.startswith(REJECTED_PREFIX)
        },
    )


@router.get("/tariff", summary="The tariff in force")
async def read_tariff(edges: EdgesDep, operator: OperatorDep) -> TariffBody:
    """What quotes are given by, and, if the file was changed since and is wrong, where and what was expected.

    A changed file is put in force by itself within seconds, once it is right.
    """
    tariff, refusal = edges.tariff.tariff, edges.tariff.refusal
    return TariffBody(
        region_id=edges.city.region.region_id,
        version=tariff.version,
        currency=tariff.currency,
        refusal=RefusalBody(**vars(refusal)) if refusal else None,
        content=msgspec.to_builtins(tariff),
    )


@router.get(
    "/city/roads",
    summary="The road graph as GeoJSON",
    response_class=Response,
    responses={200: {"content": {GEOJSON: {"schema": {"type": "object"}}}}},
)
async def read_roads(edges: EdgesDep, operator: OperatorDep) -> Response:
    """A LineString for each stretch of road, once for both directions, with its speed."""
    body = await asyncio.to_thread(roads_geojson, edges.city.graph)
    return Response(body, media_type=GEOJSON, headers={"Cache-Control": "private, max-age=3600"})


def roads_geojson(graph: RoadGraph) -> bytes:
    """The road graph as a GeoJSON FeatureCollection."""
    low = np.minimum(graph.source, graph.target)
    high = np.maximum(graph.source, graph.target)
    _, first = np.unique(low.astype(np.int64) * graph.node_count + high, return_index=True)
    speed_kmh = np.round(graph.length_m / graph.travel_time_s * 3.6, 1)
    features = [
        {
            "type": "Feature",
            "properties": {"speed_kmh": float(speed_kmh[edge])},
            "geometry": {
                "type": "LineString",
                "coordinates": np.round(graph.edge_points(int(edge))[:, ::-1], 6).tolist(),
            },
        }
        for edge in first
    ]
    return msgspec.json.encode({"type": "FeatureCollection", "features": features})


@router.websocket("/stream")
async def live_stream(socket: WebSocket) -> None:
    """About two frames a second; the newest counts."""
    edges: Edges = socket.app.state.edges
    operator = await sockets.accept(socket, edges, Role.OPERATOR)
    if operator is None:
        return
    feed: LiveFeed = socket.app.state.live
    queue = feed.watch()
    try:
        await sockets.converse(socket, operator, _push(socket, queue), _until_hang_up(socket))
    finally:
        feed.leave(queue)


async def _push(socket: WebSocket, queue: asyncio.Queue[str]) -> None:
    while True:
        await sockets.send(socket, await queue.get())


async def _until_hang_up(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
