"""The list of who may drive."""

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
    """A driver who may drive."""

    driver_id: str
    added_s: Seconds
    operator: Annotated[str, Field(description="who added the driver")]


class DriverListBody(BaseModel):
    """Who may drive in the region."""

    is_begun: Annotated[bool, Field(description="false: there is no list, and everybody may drive")]
    drivers: Annotated[list[ListedDriverBody], Field(description="by id; ask for those after the last one for more")]

    @classmethod
    def of(cls, drivers: Sequence[ListedDriver], *, is_begun: bool) -> DriverListBody:
        """The public face of the list."""
        return cls(is_begun=is_begun, drivers=[ListedDriverBody(**driver._asdict()) for driver in drivers])


class DriverRemovedBody(BaseModel):
    """What became of a driver who was taken off the list."""

    driver_id: str
    is_on_shift: Annotated[bool, Field(description="true: a ride goes on; the shift can be ended when it is over")]
