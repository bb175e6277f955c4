"""What the matcher says about itself to Prometheus. Labels: few regions, ten deciles."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from dispatch.matching.calibration import AcceptanceFigures


class MatchingMetrics:
    """What the rounds of a region leave out; made once, by the composition root."""

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
