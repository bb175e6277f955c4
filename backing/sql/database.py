"""What every SQL database offers, whichever server stands behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar

from backing.sql.scripts import Dialect, Rows, Script

T = TypeVar("T")


class Database(ABC):
    """The one database of a process. All its stores share it, so that their scripts can join in one transaction."""

    dialect: ClassVar[Dialect]

    @abstractmethod
    async def run(self, script: Callable[[], Script[T]]) -> T:
        """Run a script in one transaction; return what it returned, once that is durable.

        ``script`` makes the generator. It is called again if the transaction has to be repeated. What the script
        raises is raised here, and nothing is written then.
        """

    @abstractmethod
    async def read(self, text: str, *parameters: Any) -> Rows:
        """Rows of a SELECT, as last committed."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the scripts that were handed in and release the connections; twice is once."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
