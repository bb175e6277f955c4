"""Steps that concern several services: quoting a trip, requesting its ride, ending it, splitting its fare."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from workflows.earnings import EarningsWorkflow
    from workflows.end_ride import EndRideWorkflow
    from workflows.finish_ride import FinishRideWorkflow
    from workflows.intervene import InterveneWorkflow
    from workflows.quote import QuoteWorkflow
    from workflows.request_ride import RequestRideWorkflow

__all__ = [
    "EarningsWorkflow",
    "EndRideWorkflow",
    "FinishRideWorkflow",
    "InterveneWorkflow",
    "QuoteWorkflow",
    "RequestRideWorkflow",
]

__getattr__ = lazy(
    __name__,
    {
        "EarningsWorkflow": "earnings",
        "EndRideWorkflow": "end_ride",
        "FinishRideWorkflow": "finish_ride",
        "InterveneWorkflow": "intervene",
        "QuoteWorkflow": "quote",
        "RequestRideWorkflow": "request_ride",
    },
)
