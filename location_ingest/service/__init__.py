"""The two shells round the filter: the gateway in the process of the edge, the service in the worker."""

from location_ingest.service.gateway import PingGateway
from location_ingest.service.ingest import IngestService

__all__ = ["IngestService", "PingGateway"]
