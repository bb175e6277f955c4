"""What pricing needs from the world, named for the need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pricing.commands import Restore, Signal
from pricing.model.advice import DriverAdvice, IdleDrivers
from pricing.model.surge import FreezeOrder, RecordedPrice, SupplySnapshot, SurgePrice
from pricing.model.tariff import Tariff
from pricing.rules.price_changes import PriceChange


@dataclass(frozen=True, slots=True)
class KeyedSignal:
    """What a message asks of the engine, with what tells the message from its repetitions."""

    #: The ride's id, or the name of the wish behind a quote (`rules.signals.quote_ident`).
    ident: str
    sequence: int
    at_s: float
    signal: Signal | None
    #: Counts as demand once, under whatever idents it comes (`rules.signals.request_wish`); empty for each ident anew.
    wish: str = ""


class SurgePrices(Protocol):
    """The multipliers that all processes of a region see."""

    async def read(self, cell: int, now_s: float) -> SurgePrice:
        """Return the multiplier of a cell as it counts at ``now_s``; 1.0 where nothing, or nothing fresh, is known."""
        ...

    async def read_many(self, cells: Iterable[int], now_s: float) -> list[SurgePrice]:
        """Return the same for many cells, in their order."""
        ...

    async def write(self, multiplier_of: Mapping[int, float], now_s: float, epoch: int) -> None:
        """Set or renew the multipliers of these cells, all at once.

        Raises PricerSuperseded if a pricer of a newer epoch has written.
        """
        ...

    async def set_frozen(self, *, is_frozen: bool, epoch: int | None = None) -> None:
        """Have every cell read as 1.0 from now on, whatever is written; or no longer.

        Without an epoch it is an operator's order. Raises PricerSuperseded as `write` does.
        """
        ...


class PriceRecord(Protocol):
    """The record of price changes with their reasons, and of operators' freeze orders; rows are only added."""

    async def add_version(self, version: str, params: str) -> None:
        """Keep what a version of rules and parameters means."""
        ...

    async def claim(self, region_id: str) -> int:
        """Return a new epoch, higher than all before: what holders of an older one add is refused from now on."""
        ...

    async def newest_prices(self, region_id: str) -> dict[int, RecordedPrice]:
        """Return the multiplier that each cell has by the record; cells without a change are absent."""
        ...

    async def add_changes(self, region_id: str, changes: Sequence[PriceChange], epoch: int) -> None:
        """Keep these changes; those that are kept already are left as they are.

        Raises PricerSuperseded, also without changes, if a newer epoch was claimed; nothing is kept then.
        """
        ...

    async def history(self, region_id: str, cell: int, since_s: float, limit: int) -> list[PriceChange]:
        """Return the changes of a cell at ``since_s`` and later, the newest first."""
        ...

    async def add_order(self, region_id: str, order: FreezeOrder) -> None:
        """Keep an operator's order; the newest stands."""
        ...

    async def orders(self, region_id: str, limit: int) -> list[FreezeOrder]:
        """Return the orders, the newest first."""
        ...


class CountedSignals(Protocol):
    """The demand that outlives the process, with the memory of what was counted."""

    async def count_rides(self, events: Sequence[KeyedSignal]) -> list[int]:
        """Count each (ident, sequence) once, whoever brings it how often; return which of these were new.

        A place is given as -1 - place where the event is new, and its wish was counted before: it is no new demand.

        The events of one ride come in the order of their sequences. What an event asks is taken in with it: both
        happen or neither does.
        """
        ...

    async def count_quotes(self, events: Sequence[KeyedSignal]) -> list[int]:
        """Do the same for quotes, which are remembered for a shorter time."""
        ...

    async def read(self, now_s: float) -> Restore:
        """Return all that was taken in, decayed to ``now_s``."""
        ...


class AnsweredOffers(Protocol):
    """What is known of how a driver answers."""

    @property
    def offers_accepted(self) -> int:
        """Offers that the driver ever took."""
        ...

    @property
    def offers_answered(self) -> int:
        """Offers that were taken, declined or ran out."""
        ...


#: Reads the drivers on shift who have neither an offer nor a ride, in whatever region they are, by id.
FreeDrivers = Callable[[], Awaitable[Mapping[str, AnsweredOffers]]]


class Supply(Protocol):
    """The drivers of a region."""

    async def snapshot(self, now_s: float) -> SupplySnapshot:
        """Return the drivers with a fresh position at ``now_s``, and how many of them are idle in each cell."""
        ...

    async def idle_drivers(self, now_s: float) -> IdleDrivers:
        """Return where the drivers are who are idle at ``now_s``."""
        ...


class AdviceBoard(Protocol):
    """The advice that stands, by driver."""

    async def read(self) -> dict[str, DriverAdvice]:
        """Return all of it, expired advice too."""
        ...

    async def replace(self, advice: Mapping[str, DriverAdvice], planned_s: float) -> None:
        """Put this advice in the place of all that stood, as of the plan made at ``planned_s``."""
        ...


#: Differs whenever the source was written in between.
TariffStamp = tuple[int, int, int]


class TariffSource(Protocol):
    """Where an operator writes the tariff of a region."""

    def stamp(self) -> TariffStamp:
        """Return what tells one state of the source from another, without reading it. Raises OSError."""
        ...

    def read(self) -> Tariff:
        """Return the tariff. Raises TariffRefused for a wrong one, and OSError."""
        ...


class TariffArchive(Protocol):
    """Every version of a region's tariff that a quote was ever given by."""

    async def keep(self, tariff: Tariff) -> None:
        """Keep the version for as long as rides may ask for it."""
        ...

    async def find(self, version: str) -> Tariff | None:
        """Return the tariff of a version; None if nobody kept it."""
        ...
