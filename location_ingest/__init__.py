"""Ping ingestion: filters the pings of drivers and stores the accepted positions by H3 cell."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from location_ingest.column_engine import ColumnEngine
    from location_ingest.columns import PingColumns
    from location_ingest.engine import IngestEngine
    from location_ingest.model import DriverPing, IngestParams, Reason, StoreParams
    from location_ingest.service import IngestService, PingGateway

__all__ = [
    "ColumnEngine",
    "DriverPing",
    "IngestEngine",
    "IngestParams",
    "IngestService",
    "PingColumns",
    "PingGateway",
    "Reason",
    "StoreParams",
]

__getattr__ = lazy(
    __name__,
    {
        "ColumnEngine": "column_engine",
        "DriverPing": "model",
        "IngestEngine": "engine",
        "IngestParams": "model",
        "IngestService": "service",
        "PingColumns": "columns",
        "PingGateway": "service",
        "Reason": "model",
        "StoreParams": "model",
    },
)
