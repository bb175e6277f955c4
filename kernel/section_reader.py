"""Reads the sections of a city's file into frozen dataclasses: one reader for every section.

Nothing is coerced: a number in quotes is no number. Unknown keys are refused, so that a misspelt parameter is not
silently without effect. An error names file, line, key, what was found and what was expected.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from kernel.toml_lines import line_of


class SectionParams(Protocol):
    """A frozen dataclass that is one section of a city's file; its fields are the keys."""

    #: The section's name, such as `dispatch`.
    SECTION: ClassVar[str]


P = TypeVar("P", bound=SectionParams)
#: A value in an error message is cut after so many characters.
_SHOWN_MAX = 60
_WHERE = re.compile(r" - at `\$(.*)`$")


class ParamsRefused(ValueError):
    """A section is wrong; the message says where, what was found and what was expected."""

    def __init__(
        self, file: str, line: int | None, key: str, found: str, expected: str, path: tuple[str | int, ...] = ()
    ) -> None:
        where = f"{file}:{line}" if line is not None else file
        super().__init__(f"{where}: {key} is {found}; expected {expected}")
        self.file = file
        self.line = line
        self.key = key
        self.found = found
        self.expected = expected
        #: Section, sub-tables and key of what is wrong; empty where the file is no TOML at all.
        self.path = path


class Sections(dict[str, Any]):
    """The sections of a city's file as TOML has them, with the text that they came from."""

    def __init__(self, text: str, file: str) -> None:
        """Raises ParamsRefused for a text that is not TOML."""
        try:
            super().__init__(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            where = re.search(r"at line (\d+)", str(error))
            line = int(where[1]) if where else len(text.splitlines())
            raise ParamsRefused(file, line, "the text", f"not TOML ({error})", "TOML 1.0") from error
        self.text = text
        self.file = file

    @classmethod
    def read(cls, path: Path) -> Sections:
        """Read a file. Raises ParamsRefused, or OSError for a file that cannot be read."""
        return cls(path.read_text(encoding="utf-8", errors="replace"), str(path))


def read_params(sections: Mapping[str, Any], cls: type[P]) -> P:
    """Return the parameters of a section; an absent section or key keeps its default.

    Sub-tables are read into the fields that are dataclasses themselves. Raises ParamsRefused.
    """
    section = sections.get(cls.SECTION, {})
    _refuse_unknown(sections, section, cls, (cls.SECTION,))
    try:
        return msgspec.convert(section, cls, strict=True)
    except msgspec.ValidationError as error:
        raise _refused(sections, section, cls, str(error)) from error


def refusals_of(sections: Mapping[str, Any], cls: type[P]) -> list[ParamsRefused]:
    """Return every mistake of a section: what is refused is left out, and the rest is read again."""
    rest, found, left_out = deepcopy(sections), list[ParamsRefused](), set[tuple[str | int, ...]]()
    while True:
        try:
            read_params(rest, cls)
        except ParamsRefused as problem:
            if problem.path in left_out:  # a key without a default, refused before: its absence is no second mistake
                return found
            found.append(problem)
            left_out.add(problem.path)
            if not _leave_out(rest, problem.path):
                return found
        else:
            return found


def _leave_out(sections: Mapping[str, Any], path: tuple[str | int, ...]) -> bool:
    """Remove what stands at a path; whether there was anything."""
    holder: Any = sections
    for part in path[:-1]:
        if isinstance(holder, Mapping) and part not in holder:
            return False
        holder = holder[part]
    if not isinstance(holder, dict) or path[-1] not in holder:
        return False
    del holder[path[-1]]
    return True


def refuse_unknown_sections(sections: Mapping[str, Any], known: list[str]) -> None:
    """Raise ParamsRefused for a section that nothing reads."""
    for name in sections:
        if name not in known:
            raise refusal(sections, (name,), "not a section", _one_of(name, known))


def refusal(sections: Mapping[str, Any], path: tuple[str | int, ...], found: str, expected: str) -> ParamsRefused:
    """The error for what stands at a path; it names the line if the sections came from a file."""
    key = f"[{path[0]}]" if len(path) == 1 else f"[{'.'.join(map(str, path[:-1]))}] {path[-1]}"
    if isinstance(sections, Sections):
        return ParamsRefused(sections.file, line_of(sections.text, path), key, found, expected, path)
    return ParamsRefused("the city", None, key, found, expected, path)


def _refuse_unknown(sections: Mapping[str, Any], section: Any, cls: type[Any], path: tuple[str | int, ...]) -> None:
    if not isinstance(section, Mapping):
        raise refusal(sections, path, _shown(section), "a section")
    types = get_type_hints(cls)
    known = [field.name for field in fields(cls)]
    for key, value in section.items():
        if key not in known:
            raise refusal(sections, (*path, key), "not a key of this section", _one_of(key, known))
        if is_dataclass(types[key]):
            _refuse_unknown(sections, value, types[key], (*path, key))
        elif (entry := _entry_of(types[key])) is not None and isinstance(value, list):
            for number, one in enumerate(value):
                _refuse_unknown(sections, one, entry, (*path, key, number))
    for field in fields(cls):
        if field.default is MISSING and field.default_factory is MISSING and field.name not in section:
            raise refusal(sections, (*path, field.name), "missing", f"{field.name} in [{'.'.join(map(str, path))}]")


def _type_at(kind: Any, keys: list[str]) -> Any:
    """The type of what stands at a path below a dataclass; a number in the path is a position in a tuple."""
    for key in keys:
        kind = _entry_of(kind) if key.isdigit() else get_type_hints(kind)[key]
    return kind


def _entry_of(kind: Any) -> type[Any] | None:
    """The dataclass of which ``kind`` is a tuple of any length; None for every other type."""
    arguments = get_args(kind)
    is_tuple = get_origin(kind) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis
    return arguments[0] if is_tuple and is_dataclass(arguments[0]) and isinstance(arguments[0], type) else None


def _refused(sections: Mapping[str, Any], section: Mapping[str, Any], cls: type[Any], told: str) -> ParamsRefused:
    """The error for what msgspec, or the dataclass itself, refused."""
    where = _WHERE.search(told)
    keys = [part for part in re.split(r"[.\[\]]", where[1] if where else "") if part]
    told = _WHERE.sub("", told)
    value: Any = section
    for key in keys:
        value = value[int(key)] if key.isdigit() else value[key]
    if told.startswith(("Expected", "Invalid enum value")):
        expected, _, _ = told.removeprefix("Expected ").partition(", got ")
        if told.startswith("Invalid"):
            expected = f"one of {', '.join(_type_at(cls, keys))}"
        path = (cls.SECTION, *(int(key) if key.isdigit() else key for key in keys))
        return refusal(sections, path, _shown(value), expected.replace("`", ""))
    # The dataclass compares its fields and says in words what must hold: the line is that of the first one it names.
    named = next((word for word in re.findall(r"\w+", told) if isinstance(value, Mapping) and word in value), None)
    path = (cls.SECTION, *keys, *([named] if named else []))
    return refusal(sections, path, _shown(value[named]) if named else "refused", f"other values: {told}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _one_of(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"{close[0]}, perhaps" if close else f"one of {', '.join(known)}"
