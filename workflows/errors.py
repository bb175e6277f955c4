"""What a rider is told who does too much."""

from __future__ import annotations

from kernel.errors import HexhailError


class LimitReached(HexhailError):
    """One person did more than one person may; nothing has changed."""

    code = "limit_reached"
    hint = "Wait Retry-After seconds."

    def __init__(self, message: str, retry_after_s: float) -> None:
        """``retry_after_s`` are wall seconds until there is room again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyQuotes(LimitReached):
    """The rider asked for prices again and again, and took none."""

    code = "too_many_quotes"
    hint = "Request the ride of a quote that you have, or wait Retry-After seconds for another one."


class TooManyCancellations(LimitReached):
    """The rider requested rides and cancelled them."""

    code = "too_many_cancellations"
    hint = "Wait Retry-After seconds before you request another ride."
