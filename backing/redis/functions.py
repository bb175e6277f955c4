"""Server-side functions of Redis or Valkey: every process calls exactly the code that it ships.

A server keeps function libraries over its restarts and ours, so what it holds under a name may be of another release,
and in a rolling upgrade two releases run at once. Therefore the names of a library and of its functions end in a hash
of the code. Versions stand side by side, none replaces another, and a server that lost a library is given it again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

log = structlog.get_logger(__name__)

T = TypeVar("T")
Keys = Sequence[str]
Arguments = Sequence[str | int | bytes]

#: How names of our libraries begin.
PREFIX = "hexhail_"
#: Hexadecimal digits of the hash in a name: with 48 bits no two versions that anybody wrote share a name.
HASH_DIGITS = 12
#: A rolling upgrade needs one other version, a rollback in the middle of it two; more are left over.
OTHER_VERSIONS_MAX = 2

_FIRST_LINE = re.compile(rf"#!lua name=({PREFIX}\w+)\n")
_REGISTRATION = re.compile(r"(redis\.register_function\(')(\w+)(')")


@dataclass(frozen=True, slots=True)
class LuaLibrary:
    """A function library under names that end in the hash of its code."""

    #: Name in the file, without the hash.
    base_name: str
    name: str
    code: str
    #: Name of a function in the file -> its name on the server.
    functions: Mapping[str, str]

    @classmethod
    def read(cls, package: str, file_name: str) -> LuaLibrary:
        """Read the library from a file of a package, such as ("dispatch.adapters", "leases.lua")."""
        return cls.of(files(package).joinpath(file_name).read_text(encoding="utf-8"))

    @classmethod
    def of(cls, source: str) -> LuaLibrary:
        """Give names with a hash to the library that ``source`` is.

        The source begins with `#!lua name=hexhail_…` and registers with `redis.register_function('name', callback)`;
        raises ValueError for any other.
        """
        first_line, registered = _FIRST_LINE.match(source), [match[2] for match in _REGISTRATION.finditer(source)]
        if first_line is None or not registered:
            raise ValueError(f"not a library named {PREFIX}… that registers functions: {source[:60]!r}")
        version = hashlib.sha256(source.encode()).hexdigest()[:HASH_DIGITS]
        name = f"{first_line[1]}_{version}"
        code = f"#!lua name={name}\n" + _REGISTRATION.sub(rf"\g<1>\g<2>_{version}\g<3>", source[first_line.end() :])
        return cls(first_line[1], name, code, {function: f"{function}_{version}" for function in registered})


class RedisFunctions:
    """Calls the functions of one library; loads it on first use, and again into a server that has lost it.

    Of a cluster each primary is given it: again when one answers that it has no such function, as a node does that has
    joined, or was promoted before it had heard of the library.
    """

    def __init__(self, redis: Redis, library: LuaLibrary) -> None:
        self._redis: Any = redis
        self._library = library
        self._is_loaded = False

    async def call(self, function: str, keys: Keys, arguments: Arguments) -> Any:
        """Call the function, named as in its file. Raises what redis-py raises."""
        command = self._command(function, keys, arguments)
        return await self._with_library(lambda: self._redis.execute_command(*command))

    async def call_many(self, function: str, calls: Sequence[tuple[Keys, Arguments]]) -> list[Any]:
        """Call the function with each of (keys, arguments) in one round trip; return the answers in order.

        The function must be one that may be repeated: if the server loses the library in the middle, all calls are
        made again. Raises what redis-py raises, after all of them.
        """
        commands = [self._command(function, keys, arguments) for keys, arguments in calls]

        def call() -> Awaitable[list[Any]]:
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers: Awaitable[list[Any]] = pipeline.execute()
            return answers

        return await self._with_library(call)

    def _command(self, function: str, keys: Keys, arguments: Arguments) -> tuple[str | int | bytes, ...]:
        return ("FCALL", self._library.functions[function], len(keys), *keys, *arguments)

    async def _with_library(self, call: Callable[[], Awaitable[T]]) -> T:
        if not self._is_loaded:
            await self._load()
        try:
            return await call()
        except ResponseError as error:
            if "function not found" not in str(error).lower():
                raise
        await self._load()
        return await call()

    async def _load(self) -> None:
        # REPLACE: another process of this release may have loaded the same code a moment ago.
        await self._redis.function_load(self._library.code, replace=True)
        self._is_loaded = True
        others = await other_versions(self._redis, [self._library])
        if len(others) > OTHER_VERSIONS_MAX:
            log.warning("redis_functions_of_other_versions", others=others, remedy="hexhail doctor")


def libraries_of(*packages: str) -> list[LuaLibrary]:
    """Return the libraries in the `.lua` files of the packages, sorted by name."""
    found = [
        LuaLibrary.read(package, file.name)
        for package in packages
        for file in files(package).iterdir()
        if file.name.endswith(".lua")
    ]
    return sorted(found, key=lambda library: library.name)


async def other_versions(redis: Redis, libraries: Sequence[LuaLibrary]) -> list[str]:
    """Return the names of libraries on the server that are versions of ``libraries`` other than these, sorted.

    Names without a hash, which earlier versions wrote, count too.
    """
    ours = {library.name for library in libraries}
    base_names = "|".join(re.escape(library.base_name) for library in libraries)
    versions = re.compile(rf"({base_names})(_[0-9a-f]{{{HASH_DIGITS}}})?")
    client: Any = redis
    answer = await client.function_list(f"{PREFIX}*")
    # A cluster answers with a mapping of each primary to its list.
    lists = answer.values() if isinstance(answer, dict) else [answer]
    held = {_name_of(description) for descriptions in lists for description in descriptions}
    return sorted(name for name in held if name not in ours and versions.fullmatch(name))


async def remove_libraries(redis: Redis, names: Sequence[str]) -> None:
    """Delete the libraries; one that is gone already is no error.

    Safe at any time: a process that still uses one loads it again at its next call.
    """
    client: Any = redis
    for name in names:
        try:
            await client.function_delete(name)
        except ResponseError as error:
            if "library not found" not in str(error).lower():
                raise


def _name_of(description: Any) -> str:
    """Return the name in an entry of FUNCTION LIST: names and values by turns in RESP2, a mapping in RESP3."""
    if not isinstance(description, dict):
        description = dict(zip(description[::2], description[1::2], strict=True))
    name = description.get(b"library_name", description.get("library_name"))
    return name.decode() if isinstance(name, bytes) else str(name)
