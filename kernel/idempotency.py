"""Idempotency keys: a client that repeats a request gets the answer it was given before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's promise that the same key means the same request."""

    #: Who promises: keys of different principals never meet.
    principal: str
    key: str
    body_sha256: str

    @classmethod
    def of_body(cls, principal: str, key: str, body: str) -> Self:
        """Return the key of a request with this body."""
        return cls(principal, key, hashlib.sha256(body.encode()).hexdigest())
