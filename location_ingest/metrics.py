"""Prometheus metrics of ingestion."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class GatewayMetrics:
    """Metrics of the gateway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pings_submitted = Counter("hexhail_pings_submitted", "Pings the broker acknowledged", registry=registry)
        self.pings_refused = Counter(
            "hexhail_pings_refused", "Pings refused at the edge, by reason", ["reason"], registry=registry
        )
        self.pings_unavailable = Counter(
            "hexhail_pings_unavailable", "Pings sent back because the broker was away or slow", registry=registry
        )
        self.pings_held = Gauge("hexhail_pings_held", "Pings that wait for the broker", registry=registry)
        self.last_times_failed = Counter(
            "hexhail_ping_last_times_failed", "Checks made without the stored times", registry=registry
        )


class IngestMetrics:
    """Metrics of the worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pings_in = Counter("hexhail_pings_in", "Pings taken from the log, replays included", registry=registry)
        self.pings_accepted = Counter("hexhail_pings_accepted", "Pings believed and newer", registry=registry)
        self.pings_rejected = Counter(
            "hexhail_pings_rejected", "Pings not believed, by reason", ["reason"], registry=registry
        )
        self.dead_letters = Counter("hexhail_ping_dead_letters", "Messages nobody can use", registry=registry)
        self.drivers_swept = Counter(
            "hexhail_drivers_swept", "Stale drivers taken out of their cells", registry=registry
        )
        self.batch_pings = Histogram(
            "hexhail_ping_batch_pings", "Pings of one batch", buckets=(1, 10, 100, 1_000, 10_000), registry=registry
        )
        self.batch_failures = Counter("hexhail_ping_batch_failures", "Batches tried again", registry=registry)
        self.log_lag = Gauge("hexhail_ping_log_lag", "Messages not yet processed", registry=registry)
        self.edge_to_cell_s = Histogram(
            "hexhail_ping_edge_to_cell_seconds",
            "City seconds from the last ping of a group at the edge to the cells, for each group",
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.log_to_cell_s = Histogram(
            "hexhail_ping_log_to_cell_seconds",
            "Wall seconds from the log to the cell, the slowest message of each batch",
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
