"""What the matcher says about itself to Prometheus. Labels: few regions, ten deciles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dispatch.matching.calibration import AcceptanceFigures
from dispatch.model import Ride
from dispatch.rules.deadlines import REASONS


class MatchingMetrics:
    """Who runs the rounds of a region, and how they go; made once, by the composition root."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.off_map = Gauge(
            "hexhail_rides_off_map",
            "Open rides whose pickup or dropoff is near no road of the matcher's map: no round looks at them.",
            ["region"],
            registry=registry,
        )
        #: kind: as in `SqlRideStore`, or driver, command, policy fault.
        self.set_aside = Counter(
            "hexhail_matching_set_aside_total",
            "What a round left out because it could not be read or decided on, and went on without; the log names it.",
            ["region", "kind"],
            registry=registry,
        )
        self.owner = Gauge(
            "hexhail_matching_owner",
            "1 where this process runs the rounds of the region, 0 where it stands by.",
            ["region"],
            registry=registry,
        )
        self.last_round = Gauge(
            "hexhail_matching_last_round_timestamp_seconds",
            "Wall clock, as Unix seconds, at the end of the last round that this process ran.",
            ["region"],
            registry=registry,
        )
        self.round_seconds = Histogram(
            "hexhail_matching_round_seconds", "Wall time of a round.", ["region"], registry=registry
        )
        self.open_rides = Gauge(
            "hexhail_matching_open_rides", "Rides without a driver at the last round.", ["region"], registry=registry
        )
        self.oldest_request = Gauge(
            "hexhail_matching_oldest_request_city_seconds",
            "City seconds since the oldest request of a ride without a driver, at the last round; 0 if there is none.",
            ["region"],
            registry=registry,
        )

    def show_round(self, region_id: str, open_rides: Sequence[Ride], now_s: float, wall_s: float) -> None:
        """Set the figures of a round that just ended; ``now_s`` is city time."""
        oldest_s = max((now_s - ride.requested_s for ride in open_rides), default=0.0)
        self.last_round.labels(region_id).set_to_current_time()
        self.round_seconds.labels(region_id).observe(wall_s)
        self.open_rides.labels(region_id).set(len(open_rides))
        self.oldest_request.labels(region_id).set(max(0.0, oldest_s))

    def show_owner(self, region_id: str, *, is_ours: bool) -> None:
        """Say whether this process owns the region; the requests of one that it does not own are not its to tell."""
        self.owner.labels(region_id).set(is_ours)
        if not is_ours:
            self.open_rides.labels(region_id).set(0)
            self.oldest_request.labels(region_id).set(0)


class EndingMetrics:
    """Rides that had to be ended for their driver; made once, by the composition root."""

    def __init__(self, registry: CollectorRegistry) -> None:
        #: kind: as in `rules.deadlines.REASONS`.
        self.overdue = Counter(
            "hexhail_overdue_rides_total",
            "Rides that the deadline ended, because their driver said nothing, by kind. Alert on more than a few in a "
            "thousand rides: phones or the way from them to the API fail.",
            ["region", "kind"],
            registry=registry,
        )

    def counts_of(self, region_id: str) -> Callable[[str], None]:
        """Return what counts one overdue ride of a region, by its kind; all kinds begin at 0."""
        for kind in REASONS.values():
            self.overdue.labels(region_id, kind)
        return lambda kind: self.overdue.labels(region_id, kind).inc()


class AcceptanceMetrics:
    """How good the forecasts of drivers' answers are; made once, by the composition root."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Gauge(
            "hexhail_acceptance_answers", "Answers that the model has learned from.", ["region"], registry=registry
        )
        self.brier = Gauge(
            "hexhail_acceptance_brier",
            "Mean square of forecast minus answer, over the last answers; lower is better.",
            ["region"],
            registry=registry,
        )
        self.brier_of_mean = Gauge(
            "hexhail_acceptance_brier_of_mean",
            "Log loss of a forecast that is always the share of accepted offers: a useful model is below it.",
            ["region"],
            registry=registry,
        )
        #: of: predicted, observed, count.
        self.calibration = Gauge(
            "hexhail_acceptance_calibration",
            "Forecast and share of yes in each tenth of the last forecasts, from the lowest, and how many they are.",
            ["region", "decile", "of"],
            registry=registry,
        )

    def show(self, region_id: str, figures: AcceptanceFigures) -> None:
        """Set the gauges of a region."""
        self.answers.labels(region_id).set(figures.answers)
        if figures.brier is None or figures.brier_of_mean is None:
            return
        self.brier.labels(region_id).set(figures.brier)
        self.brier_of_mean.labels(region_id).set(figures.brier_of_mean)
        for number, decile in enumerate(figures.deciles, start=1):
            self.calibration.labels(region_id, str(number), "predicted").set(decile.predicted)
            self.calibration.labels(region_id, str(number), "observed").set(decile.observed)
            self.calibration.labels(region_id, str(number), "count").set(decile.count)
