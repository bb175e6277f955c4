"""What every package shares, without a tool: money, time, parameters, keys and the contracts between the parts."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from kernel.clock import CityClock
    from kernel.errors import HexhailError
    from kernel.idempotency import IdempotencyKey
    from kernel.keyring import KeyRing
    from kernel.money import money_text
    from kernel.points import Place, Point
    from kernel.section_reader import ParamsRefused, read_params
    from kernel.supply import DriverState

__all__ = [
    "CityClock",
    "DriverState",
    "HexhailError",
    "IdempotencyKey",
    "KeyRing",
    "ParamsRefused",
    "Place",
    "Point",
    "money_text",
    "read_params",
]

__getattr__ = lazy(
    __name__,
    {
        "CityClock": "clock",
        "DriverState": "supply",
        "HexhailError": "errors",
        "IdempotencyKey": "idempotency",
        "KeyRing": "keyring",
        "ParamsRefused": "section_reader",
        "Place": "points",
        "Point": "points",
        "money_text": "money",
        "read_params": "section_reader",
    },
)
