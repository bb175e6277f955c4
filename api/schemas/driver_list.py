"""Bodies of the list of approved drivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from api.schemas.base import Seconds, Strict
from dispatch.ports import ListedDriver

#: Drivers added at once.
ADDED_MAX = 1_000
DriverId = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class AddDriversRequest(Strict):
    """Drivers to put on the list."""

    driver_ids: Annotated[list[DriverId], Field(min_length=1, max_length=ADDED_MAX)]


class RemoveDriverRequest(Strict):
    """The driver to take off the list."""

    driver_id: DriverId


class ListedDriverBody(BaseModel):
    """An approved driver."""

    driver_id: str
    added_s: Seconds
    operator: Annotated[str, Field(description="who added the driver")]


class DriverListBody(BaseModel):
    """The approved drivers of the region."""

    is_begun: Annotated[bool, Field(description="false: there is no list yet, and every driver may drive")]
    drivers: Annotated[list[ListedDriverBody], Field(description="sorted by id; ask again after the last one for more")]

    @classmethod
    def of(cls, drivers: Sequence[ListedDriver], *, is_begun: bool) -> DriverListBody:
        """Convert a page of the list."""
        return cls(is_begun=is_begun, drivers=[ListedDriverBody(**driver._asdict()) for driver in drivers])


class DriverRemovedBody(BaseModel):
    """The result of removing a driver from the list."""

    driver_id: str
    is_on_shift: Annotated[bool, Field(description="true: a ride is under way; the shift can be ended after it")]
