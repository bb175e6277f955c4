"""The services around the ping filter: the gateway in the API process, and the ingestion worker."""

from location_ingest.service.gateway import PingGateway
from location_ingest.service.ingest import IngestService

__all__ = ["IngestService", "PingGateway"]
