"""What can go wrong in pricing.

PricingError
├── QuoteRefused              there is no price for what was asked
│   ├── OutsideRegion         a point is too far from every road
│   ├── NoTrip                pickup and dropoff are the same place on the road
│   └── NoWay                 no road leads from the pickup to the dropoff
├── QuoteUnusable             the signed quote that was shown cannot be used
│   ├── QuoteForged           it is not one of ours, or it was changed
│   ├── QuoteExpired          its time is over
│   ├── QuoteVersionUnknown   ours, but of a version that this one does not read
│   ├── QuoteOfAnotherRider   ours, but given to somebody else
│   └── QuoteOffMap           ours, but the map has changed, and a point of it is near no road any more
├── FieldWrong                a key of a tariff is wrong
├── TariffRefused             a tariff file is wrong, and at which line
└── PricerSuperseded          another process sets the prices of the region now
"""

from __future__ import annotations

from kernel.errors import HexhailError


class PricingError(HexhailError):
    """Root of this package's errors."""

    code = "pricing"


class QuoteRefused(PricingError):
    """There is no price for what was asked."""

    code = "quote_refused"


class OutsideRegion(QuoteRefused):
    """A point is farther from every road than the region allows."""

    code = "outside_region"
    hint = "Choose a point nearer to a road of the region; points are lat_deg, lng_deg in this order."

    def __init__(self, which: str, region_id: str, distance_m: float, off_road_m_max: float) -> None:
        super().__init__(
            f"The {which} is {distance_m:.0f} m from the nearest road of region {region_id}; "
            f"at most {off_road_m_max:.0f} m are allowed."
        )
        self.which = which
        self.distance_m = distance_m


class NoTrip(QuoteRefused):
    """Pickup and dropoff are the same place on the road."""

    code = "no_trip"
    hint = "Choose a dropoff farther from the pickup."

    def __init__(self) -> None:
        super().__init__("Pickup and dropoff are at the same point of a road: there is nothing to drive.")


class NoWay(QuoteRefused):
    """No road leads from the pickup to the dropoff under the traffic of the moment."""

    code = "no_way"
    hint = "Choose another pickup or dropoff; a road on the way may be closed."

    def __init__(self) -> None:
        super().__init__("No road leads from the pickup to the dropoff now.")


class QuoteUnusable(PricingError):
    """The signed quote cannot be used; the price it names is not owed."""

    code = "quote_unusable"
    hint = "Ask for a new quote (POST /v1/quotes) and send its quote_id unchanged."


class QuoteForged(QuoteUnusable):
    """Not a quote of ours, or changed since."""

    code = "quote_forged"

    def __init__(self, why: str) -> None:
        super().__init__(f"This is not a quote of ours: {why}.")


class QuoteExpired(QuoteUnusable):
    """The price was held until a moment that has passed."""

    code = "quote_expired"
    hint = "Prices move: ask for a new quote (POST /v1/quotes)."

    def __init__(self, expires_s: float, now_s: float) -> None:
        super().__init__(f"The quote expired {now_s - expires_s:.0f} s ago.")
        self.expires_s = expires_s


class QuoteVersionUnknown(QuoteUnusable):
    """Signed by us, but of a version that this one does not read."""

    code = "quote_version_unknown"
    hint = "The service was changed since: ask for a new quote (POST /v1/quotes)."

    def __init__(self, version: object, known: int) -> None:
        super().__init__(f"The quote is of version {version!r}; this service reads version {known}.")


class QuoteOfAnotherRider(QuoteUnusable):
    """A quote is usable only by the rider who asked for it."""

    code = "quote_of_another_rider"
    hint = "Ask for a quote of your own (POST /v1/quotes)."

    def __init__(self) -> None:
        super().__init__("The quote was given to another rider.")


class QuoteOffMap(QuoteUnusable):
    """The map has changed since the quote was given, and one of its points is near no road any more."""

    code = "quote_off_map"
    hint = "Ask for a new quote (POST /v1/quotes), from and to points near a road."

    def __init__(self, which: str, region_id: str) -> None:
        super().__init__(f"The map of region {region_id} has changed: the quoted {which} is near no road any more.")


class FieldWrong(PricingError, ValueError):
    """A key of a tariff, what it is, and what was expected; `path` leads to the table that holds it."""

    code = "tariff_wrong"

    def __init__(self, key: str, found: object, expected: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(f"{key} is {found!r}; expected {expected}")
        self.path = (*path, key)
        self.found = found
        self.expected = expected

    def under(self, *path: str | int) -> FieldWrong:
        """The same, seen from the table that holds `path`."""
        *inner, key = self.path
        return FieldWrong(str(key), self.found, self.expected, (*path, *inner))


class TariffRefused(PricingError, ValueError):
    """A tariff file that is not put in force."""

    code = "tariff_refused"
    hint = "Mend the file; until then the tariff before it stays in force."

    def __init__(self, file: str, line: int, key: str, found: str, expected: str) -> None:
        super().__init__(f"{file}, line {line}: {key} is {found}; expected {expected}")
        self.file = file
        self.line = line
        self.key = key
        self.found = found
        self.expected = expected


class PricerSuperseded(PricingError):
    """Another process has become the pricer of the region: what this one decided is not written."""

    code = "pricer_superseded"

    def __init__(self, region_id: str, epoch: int) -> None:
        super().__init__(f"Region {region_id} has a newer pricer than that of epoch {epoch}.")
