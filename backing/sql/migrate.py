"""Migrations: numbered SQL files of each package, applied in order, each once.

A package with tables has a folder `migrations` with files `NNNN_what.sqlite.sql` and `NNNN_what.postgres.sql`. The
table `schema_version` says which of them a database has. A file that was released is never changed.
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

_MARK_APPLIED = "INSERT INTO schema_version (package, version) VALUES (?1, ?2)"
_COLUMNS: dict[Dialect, str] = {
    "sqlite": "SELECT name FROM pragma_table_info('schema_version')",
    "postgres": "SELECT attname FROM pg_attribute"
    " WHERE attrelid = to_regclass('schema_version') AND attnum > 0 AND NOT attisdropped",
}
_CREATE = "CREATE TABLE schema_version (package TEXT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (package, version))"
_NAME = re.compile(r"(\d{4})_\w+\.(sqlite|postgres)\.sql")


class NewerDatabase(Exception):
    """The database was written by a newer hexhail than this one; the message says by which part, and what to do."""


class Migration(NamedTuple):
    """One numbered file."""

    package: str
    version: int
    text: str


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


def applied(dialect: Dialect) -> Script[set[tuple[str, int]]]:
    """The (package, version) that the database has; changes nothing."""
    columns = {name for (name,) in (yield Statement(_COLUMNS[dialect]))}
    if not columns:
        return set()
    if "package" in columns:
        rows = yield Statement("SELECT package, version FROM schema_version")
        return {(package, version) for package, version in rows}
    rows = yield Statement("SELECT version FROM schema_version")
    return {(PACKAGE_BEFORE_PACKAGES, version) for (version,) in rows}


def pending(dialect: Dialect, packages: Packages) -> Script[list[Migration]]:
    """The files that the database lacks, in order; `schema_version` is there afterwards. Raises NewerDatabase.

    To be run under a lock that keeps other processes from doing the same, in the transaction that applies the files.
    """
    columns = {name for (name,) in (yield Statement(_COLUMNS[dialect]))}
    present = yield from applied(dialect)
    check_not_newer(present, newest_versions(dialect, packages))
    if "package" not in columns:
        if columns:
            yield Statement("DROP TABLE schema_version")
        yield Statement(_CREATE)
        for package, version in sorted(present):
            yield from mark_applied(package, version)
    return [
        migration
        for package, module in packages.items()
        for migration in migrations(dialect, package, module)
        if (package, migration.version) not in present
    ]


def mark_applied(package: str, version: int) -> Script[None]:
    """Note that the database has this file."""
    yield Statement(_MARK_APPLIED, (package, version))


def check_not_newer(present: set[tuple[str, int]], newest: Mapping[str, int]) -> None:
    """Raise NewerDatabase if the database has a version that is not known here."""
    for package, version in sorted(present):
        if version > newest.get(package, 0):
            known = f"knows version {newest[package]}" if package in newest else "has no such part"
            raise NewerDatabase(
                f"the tables of {package} have version {version}, this hexhail {known}: the database was written by a "
                "newer version. Run that version, or restore a backup."
            )
