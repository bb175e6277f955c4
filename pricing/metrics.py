"""What the pricer and the quotes say about themselves to Prometheus. Labels: few regions, fewer outcomes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class PricingMetrics:
    """The pricer's; made once per process, by the composition root."""

    def __init__(self, registry: CollectorRegistry) -> None:
        #: outcome: new, repeated, undecodable, other_region.
        self.ride_events = Counter(
            "hexhail_pricing_ride_events",
            "Messages read from the topic ride.events, by what became of them.",
            ["region", "outcome"],
            registry=registry,
        )
        #: outcome: new, repeated, undecodable, other_region.
        self.quotes_asked = Counter(
            "hexhail_pricing_quotes_asked",
            "Messages read from the topic quotes.asked, by what became of them.",
            ["region", "outcome"],
            registry=registry,
        )
        self.requests_outside = Counter(
            "hexhail_pricing_requests_outside",
            "Requests whose pickup is in no surge cell of the region: not counted as demand.",
            ["region"],
            registry=registry,
        )
        #: outcome: priced, no_positions, failed, superseded (another process prices the region).
        self.ticks = Counter(
            "hexhail_pricing_ticks",
            "Ticks of the surge controller, by what became of them.",
            ["region", "outcome"],
            registry=registry,
        )
        self.owner = Gauge(
            "hexhail_pricing_owner",
            "1 where this process sets the prices of the region, 0 where it stands by.",
            ["region"],
            registry=registry,
        )
        self.last_tick = Gauge(
            "hexhail_pricing_last_tick_timestamp_seconds",
            "Wall clock, as Unix seconds, of the last tick that this process made.",
            ["region"],
            registry=registry,
        )
        self.tick_seconds = Histogram(
            "hexhail_pricing_tick_seconds",
            "Wall time of a tick: reading supply, deciding, writing prices.",
            ["region"],
            registry=registry,
        )
        self.surge_changes = Counter(
            "hexhail_pricing_surge_changes", "Multipliers that moved.", ["region"], registry=registry
        )
        self.surge_multiplier_max = Gauge(
            "hexhail_pricing_surge_multiplier_max", "The highest multiplier of a cell.", ["region"], registry=registry
        )
        self.fresh_drivers = Gauge(
            "hexhail_pricing_fresh_drivers",
            "Drivers with a fresh position at the last tick, busy ones too.",
            ["region"],
            registry=registry,
        )
        self.idle_drivers = Gauge(
            "hexhail_pricing_idle_drivers",
            "Drivers counted as supply at the last tick.",
            ["region"],
            registry=registry,
        )


class QuoteMetrics:
    """What an edge that gives quotes says; made once, by the composition root."""

    def __init__(self, registry: CollectorRegistry) -> None:
        #: outcome: sent, lost (the broker refused), dropped (too many under way).
        self.quotes_announced = Counter(
            "hexhail_pricing_quotes_announced",
            "Quotes told to the topic quotes.asked, by what became of them.",
            ["region", "outcome"],
            registry=registry,
        )


class TariffMetrics:
    """Those of the tariffs that quotes are given by; made once per process, by the composition root."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._in_force = Gauge(
            "hexhail_tariff_in_force",
            "1 for the version of the tariff that quotes are given by.",
            ["region", "version"],
            registry=registry,
        )
        self._refused = Gauge(
            "hexhail_tariff_refused",
            "1 while the region's tariff file is refused and the version before it stays in force.",
            ["region"],
            registry=registry,
        )
        self._version_of: dict[str, str] = {}

    def in_force(self, region_id: str, version: str, *, is_refused: bool) -> None:
        """Say which version counts, and whether the file is refused."""
        before = self._version_of.get(region_id)
        if before not in (None, version):
            self._in_force.remove(region_id, before)
        self._version_of[region_id] = version
        self._in_force.labels(region_id, version).set(1)
        self._refused.labels(region_id).set(is_refused)


class AdviceMetrics:
    """What the pricer says about its advice to idle drivers; made once per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.advised = Counter(
            "hexhail_advice_given", "Idle drivers who were advised to move.", ["region"], registry=registry
        )
        self.standing = Gauge("hexhail_advice_standing", "Drivers whose advice stands.", ["region"], registry=registry)
        self.expected = Counter(
            "hexhail_advice_requests_expected",
            "Requests that plans expected until the next one; compare with hexhail_advice_requests_came.",
            ["region"],
            registry=registry,
        )
        self.came = Counter("hexhail_advice_requests_came", "Requests that came.", ["region"], registry=registry)
