"""The root of the errors that services raise, and what each of them says to a caller."""

from __future__ import annotations


class HexhailError(Exception):
    """An error of a service. Its text says what was wrong, in a sentence."""

    #: Stable word for machines.
    code = "error"
    #: What the caller can do.
    hint = ""
    #: Wall seconds after which trying again makes sense; None where it does not.
    retry_after_s: float | None = None
