"""What the role traffic says about itself to Prometheus. Labels: few regions, fewer outcomes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class TrafficMetrics:
    """Made once per process, by the composition root."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pings = Counter(
            "hexhail_traffic_pings", "Believed pings taken in for learning.", ["region"], registry=registry
        )
        #: outcome: in_force, superseded (another process has taken over), or the reason of a refusal.
        self.updates = Counter(
            "hexhail_traffic_updates",
            "Updates of the learned travel times, by what became of them.",
            ["region", "outcome"],
            registry=registry,
        )
        self.owner = Gauge(
            "hexhail_traffic_owner",
            "1 where this process learns the region's travel times, 0 where it stands by.",
            ["region"],
            registry=registry,
        )
        self.version = Gauge("hexhail_traffic_version", "Version put in force last.", ["region"], registry=registry)
        self.made_s = Gauge(
            "hexhail_traffic_made_city_seconds",
            "City time, as Unix seconds, at which a version was put in force last.",
            ["region"],
            registry=registry,
        )
        self.edges = Gauge(
            "hexhail_traffic_edges", "Edges moved by drivers of their own.", ["region"], registry=registry
        )
        self.drivers = Gauge(
            "hexhail_traffic_drivers", "Drivers that the last update stood on.", ["region"], registry=registry
        )
        self.pace = Gauge(
            "hexhail_traffic_pace",
            "Travel time over free flow that the drives of the last update ask for, on average by length.",
            ["region"],
            registry=registry,
        )
        #: weights: in_force, candidate.
        self.error = Gauge(
            "hexhail_traffic_held_back_error",
            "Mean absolute error of the logarithm of held-back drives' durations at the last update.",
            ["region", "weights"],
            registry=registry,
        )
        self.update_seconds = Histogram(
            "hexhail_traffic_update_seconds",
            "Wall time of an update: matching, proposing, judging, writing.",
            ["region"],
            registry=registry,
        )
