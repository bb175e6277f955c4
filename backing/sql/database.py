"""What every SQL database offers, whichever server stands behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar

from backing.sql.scripts import Dialect, Rows, Script

T = TypeVar("T")


class News(ABC):
    """The announcements of a channel, while they are listened to."""

    @property
    @abstractmethod
    def is_heard(self) -> bool:
        """Whether announcements arrive at the moment; False while there is no connection for them."""

    @abstractmethod
    async def wait(self, longest_s: float) -> None:
        """Return once something was announced since the last call, after ``longest_s`` wall seconds at the latest."""


class Database(ABC):
    """The one database of a process. All its stores share it, so that their scripts can join in one transaction."""

    dialect: ClassVar[Dialect]

    @abstractmethod
    async def run(self, script: Callable[[], Script[T]]) -> T:
        """Run a script in one transaction; return what it returned, once that is durable.

        ``script`` makes the generator. It is called again if the transaction has to be repeated. What the script
        raises is raised here, and nothing is written then. PostgreSQL raises DatabaseUnavailable while its server is
        away, and CommitUnknown if nobody can say whether the transaction is stored.
        """

    @abstractmethod
    async def read(self, text: str, *parameters: Any) -> Rows:
        """Rows of a SELECT, as last committed. PostgreSQL raises DatabaseUnavailable while its server is away."""

    def listen(self, channel: str) -> News | None:
        """Listen to a channel from now on until `close`; None where announcements cannot be heard, as in SQLite."""
        return None

    @abstractmethod
    async def close(self) -> None:
        """Finish the scripts that were handed in and release the connections; twice is once."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
