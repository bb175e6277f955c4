"""Routes for the city in service: its tariff, its figures and the progress of its streams."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
from fastapi import APIRouter
from starlette.responses import Response

from api.access import OperatorDep
from api.edges import OperatorEdgesDep
from api.schemas.operators import CityBody, FiguresBody, TariffBody, TotalsBody
from api.streams.live import LiveFeedDep
from geo.arrays import FloatArray
from geo.distances import unrolled_deg
from geo.roads.graph import RoadGraph

router = APIRouter(prefix="/v1/ops", tags=["operators"])

GEOJSON = "application/geo+json"


@router.get("/city", summary="The city that is served")
async def read_city(edges: OperatorEdgesDep, operator: OperatorDep) -> CityBody:
    """Names, bounds and clock."""
    return CityBody.of(edges.city, edges.speed)


@router.get("/figures", summary="The figures of this moment")
async def read_figures(feed: LiveFeedDep, operator: OperatorDep) -> FiguresBody:
    """What stands beside the live map."""
    return FiguresBody(**(await feed.frame())["figures"])


@router.get("/totals", summary="How far the streams are")
async def read_totals(edges: OperatorEdgesDep, operator: OperatorDep) -> TotalsBody:
    """Events committed, published and consumed, and pings accepted, since the stores were new."""
    committed, published = await edges.rides.outbox_progress()
    return TotalsBody.of(committed, published, (await edges.figures()).totals)


@router.get("/tariff", summary="The tariff in force")
async def read_tariff(edges: OperatorEdgesDep, operator: OperatorDep) -> TariffBody:
    """What quotes are given by, and, if the file was changed since and is wrong, where and what was expected.

    A changed file is put in force by itself within seconds, once it is right.
    """
    return TariffBody.of(edges.city.region.region_id, edges.tariff)


@router.get(
    "/city/roads",
    summary="The road graph as GeoJSON",
    response_class=Response,
    responses={200: {"content": {GEOJSON: {"schema": {"type": "object"}}}}},
)
async def read_roads(edges: OperatorEdgesDep, operator: OperatorDep) -> Response:
    """A LineString for each stretch of road, once for both directions, with its speed."""
    body = await asyncio.to_thread(roads_geojson, edges.city.graph)
    return Response(body, media_type=GEOJSON, headers={"Cache-Control": "private, max-age=3600"})


def _line(points_deg: FloatArray) -> list[list[float]]:
    """Places (p, 2) lat, lng as GeoJSON; a line over 180° goes on past it, as maps draw it in one piece."""
    line: list[list[float]] = np.round(np.column_stack([unrolled_deg(points_deg[:, 1]), points_deg[:, 0]]), 6).tolist()
    return line


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
                "coordinates": _line(graph.edge_points(int(edge))),
            },
        }
        for edge in first
    ]
    return msgspec.json.encode({"type": "FeatureCollection", "features": features})
