"""Steps that concern several services: quoting a trip, requesting its ride, finishing it, splitting its fare."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from workflows.earnings import EarningsWorkflow
    from workflows.finish_ride import FinishRideWorkflow
    from workflows.quote import QuoteWorkflow
    from workflows.request_ride import RequestRideWorkflow

__all__ = ["EarningsWorkflow", "FinishRideWorkflow", "QuoteWorkflow", "RequestRideWorkflow"]

__getattr__ = lazy(
    __name__,
    {
        "EarningsWorkflow": "earnings",
        "FinishRideWorkflow": "finish_ride",
        "QuoteWorkflow": "quote",
        "RequestRideWorkflow": "request_ride",
    },
)
