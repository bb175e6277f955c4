"""What a trip costs: tariffs, quotes, fares, surge, and advice to idle drivers."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from pricing.engine import PricingEngine
    from pricing.model.advice import RepositioningParams
    from pricing.model.quotes import Quote, Receipt
    from pricing.model.surge import SurgeParams
    from pricing.model.tariff import Tariff
    from pricing.rules.fares import itemise
    from pricing.service.quotes import QuoteService

__all__ = [
    "PricingEngine",
    "Quote",
    "QuoteService",
    "Receipt",
    "RepositioningParams",
    "SurgeParams",
    "Tariff",
    "itemise",
]

__getattr__ = lazy(
    __name__,
    {
        "PricingEngine": "engine",
        "Quote": "model.quotes",
        "QuoteService": "service.quotes",
        "Receipt": "model.quotes",
        "RepositioningParams": "model.advice",
        "SurgeParams": "model.surge",
        "Tariff": "model.tariff",
        "itemise": "rules.fares",
    },
)
