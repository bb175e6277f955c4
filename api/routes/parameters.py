"""Path, query and header parameters shared by several routes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path, Query, Response

#: What ids are made of. PostgreSQL refuses a null character in a query: no other character gets that far.
ID_PATTERN = r"^[A-Za-z0-9_.-]+$"

RideId = Annotated[str, Path(max_length=64, pattern=ID_PATTERN, description="as given when the ride was requested")]
OfferId = Annotated[
    str, Path(max_length=128, pattern=ID_PATTERN, description="the offer's id from the driver's stream")
]
RequestKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="a new random one for each ride; repeat it to repeat the request safely",
    ),
]
CellName = Annotated[str, Query(max_length=16, description="an H3 cell of the region's surge resolution, as hex")]

#: Header of answers that a replica may have given.
AGE_HEADER = "Data-Age-S"
#: Its declaration for such a route.
SAYS_AGE: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            AGE_HEADER: {
                "description": "seconds that the answer may be old; more than 0 if a replica of the database gave it",
                "schema": {"type": "number", "minimum": 0},
            }
        }
    }
}


def say_age(answer: Response, age_s: float) -> None:
    """Say in the header how old the answer may be."""
    answer.headers[AGE_HEADER] = f"{age_s:.3f}"
