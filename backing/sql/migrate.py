"""Migrations: numbered SQL files of each package, applied in order, each once.

A package with tables has a folder `migrations` with files `NNNN_what.sqlite.sql` and `NNNN_what.postgres.sql`. The
table `schema_version` says which of them a database has. A file that was released is never changed.

A file whose first line is `-- lives with: N` changes nothing that processes need which know the package's files up to
N only: they may run beside it. Without that line nobody may who does not know the file. The database keeps the number,
for a process of before has no file to look it up in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from backing.sql.scripts import Dialect, Script, Statement

#: Name of a package in `schema_version` -> import name of the package whose folder `migrations` has its files.
#: The order of the mapping is the order in which packages are migrated.
Packages = Mapping[str, str]

#: Whose versions a table without packages has: this one alone had migrations when there were no others.
PACKAGE_BEFORE_PACKAGES = "dispatch"

_MARK_APPLIED = "INSERT INTO schema_version (package, version, lives_with) VALUES (?1, ?2, ?3)"
_COLUMNS: dict[Dialect, str] = {
    "sqlite": "SELECT name FROM pragma_table_info('schema_version')",
    "postgres": "SELECT attname FROM pg_attribute"
    " WHERE attrelid = to_regclass('schema_version') AND attnum > 0 AND NOT attisdropped",
}
_CREATE = "CREATE TABLE schema_version (package TEXT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (package, version))"
_ADD_LIVES_WITH = "ALTER TABLE schema_version ADD COLUMN lives_with BIGINT"
_LIVES_WITH = re.compile(r"-- lives with: (\d+)\n")
_NAME = re.compile(r"(\d{4})_\w+\.(sqlite|postgres)\.sql")


class NewerDatabase(Exception):
    """The database was written by a newer hexhail than this one; the message says by which part, and what to do."""


class Migration(NamedTuple):
    """One numbered file."""

    package: str
    version: int
    text: str

    @property
    def lives_with(self) -> int:
        """The least version that a process must know to run on a database that has this file."""
        match = _LIVES_WITH.match(self.text)
        return int(match[1]) if match else self.version


class Applied(NamedTuple):
    """A file that a database has."""

    package: str
    version: int
    #: As of `Migration`.
    lives_with: int


def migrations(dialect: Dialect, package: str, module: str) -> list[Migration]:
    """The files of one package in order."""
    found = []
    for entry in files(module).joinpath("migrations").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match and match[2] == dialect:
            found.append(Migration(package, int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


def newest_versions(dialect: Dialect, packages: Packages) -> dict[str, int]:
    """Package -> number of its last file."""
    return {package: migrations(dialect, package, module)[-1].version for package, module in packages.items()}


def applied(dialect: Dialect) -> Script[set[Applied]]:
    """The files that the database has; changes nothing."""
    columns = {name for (name,) in (yield Statement(_COLUMNS[dialect]))}
    if not columns:
        return set()
    package = "package" if "package" in columns else f"'{PACKAGE_BEFORE_PACKAGES}'"
    lives_with = "COALESCE(lives_with, version)" if "lives_with" in columns else "version"
    rows = yield Statement(f"SELECT {package}, version, {lives_with} FROM schema_version")  # noqa: S608 - the names above
    return {Applied(*row) for row in rows}


def pending(dialect: Dialect, packages: Packages) -> Script[list[Migration]]:
    """The files that the database lacks, in order; `schema_version` is there afterwards. Raises NewerDatabase.

    To be run under a lock that keeps other processes from doing the same, in the transaction that applies the files.
    """
    columns = {name for (name,) in (yield Statement(_COLUMNS[dialect]))}
    present = yield from applied(dialect)
    check_lives_with(present, newest_versions(dialect, packages))
    if "lives_with" not in columns:
        yield from _renew_version_table(columns, present)
    known = {(file.package, file.version) for file in present}
    return [
        migration
        for package, module in packages.items()
        for migration in migrations(dialect, package, module)
        if (package, migration.version) not in known
    ]


def _renew_version_table(columns: set[str], present: set[Applied]) -> Script[None]:
    """Make the table, or bring that of an older version to its present columns."""
    if "package" in columns:
        yield Statement(_ADD_LIVES_WITH)
        return
    if columns:
        yield Statement("DROP TABLE schema_version")
    yield Statement(_CREATE)
    yield Statement(_ADD_LIVES_WITH)
    for file in sorted(present):
        yield from mark_applied(*file)


def mark_applied(package: str, version: int, lives_with: int | None = None) -> Script[None]:
    """Note that the database has this file, and which processes may live with it: by default those that know it."""
    yield Statement(_MARK_APPLIED, (package, version, lives_with))


def check_lives_with(present: set[Applied], newest: Mapping[str, int]) -> None:
    """Raise NewerDatabase if the database has a file that a process which knows ``newest`` cannot live with."""
    for package, version, lives_with in sorted(present):
        if version <= newest.get(package, 0) or lives_with <= newest.get(package, 0):
            continue
        known = f"knows version {newest[package]}" if package in newest else "has no such part"
        raise NewerDatabase(
            f"the tables of {package} have version {version}, this hexhail {known}: the database was written by a "
            "newer version. Run that version, or restore a backup."
        )
