"""Every statement of the outbox, in the dialect that SQLite and PostgreSQL share."""

from __future__ import annotations

from backing.sql.scripts import Dialect

_COLUMNS = "stream, key, sequence, region_id, inboxes, payload"

#: SQLite commits in the order of its writes and numbers them at once; in PostgreSQL the relay does it after the commit.
ADD: dict[Dialect, str] = {
    "sqlite": f"INSERT INTO outbox_rows ({_COLUMNS}, position)"  # noqa: S608 - the names above
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT COALESCE(MAX(position), 0) + 1 FROM outbox_rows))",
    "postgres": f"INSERT INTO outbox_rows ({_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",  # noqa: S608 - the names above
}

#: For PostgreSQL alone.
LOCK_POSITIONS = "SELECT pg_advisory_xact_lock(?1)"
NEEDS_POSITIONS = "SELECT 1 FROM outbox_rows WHERE position IS NULL LIMIT 1"
GIVE_POSITIONS = (
    "UPDATE outbox_rows SET position = numbered.position"
    " FROM (SELECT id, (SELECT COALESCE(MAX(position), 0) FROM outbox_rows) + ROW_NUMBER() OVER (ORDER BY id)"
    " AS position FROM outbox_rows WHERE position IS NULL) AS numbered WHERE outbox_rows.id = numbered.id"
)

UNPUBLISHED = (
    f"SELECT {_COLUMNS}, position FROM outbox_rows"  # noqa: S608 - the names above
    " WHERE position > (SELECT published_position FROM outbox_relay) ORDER BY position LIMIT ?1"
)
NEWEST_ROWS = (
    f"SELECT {_COLUMNS}, position FROM outbox_rows"  # noqa: S608 - the names above
    " WHERE position > (SELECT COALESCE(MAX(position), 0) FROM outbox_rows) - ?1 ORDER BY position"
)
PUBLISHED = "SELECT published_position FROM outbox_relay"
MARK_PUBLISHED = "UPDATE outbox_relay SET published_position = ?1 WHERE published_position < ?1"
#: Positions have no gaps, so the newest one is a count.
PROGRESS = (
    "SELECT (SELECT COALESCE(MAX(position), 0) FROM outbox_rows)"
    " + (SELECT COUNT(*) FROM outbox_rows WHERE position IS NULL), published_position FROM outbox_relay"
)
OLDEST_UNPUBLISHED = (
    "SELECT payload FROM outbox_rows WHERE position > (SELECT published_position FROM outbox_relay)"
    " ORDER BY position LIMIT 1"
)
OLDEST_UNNUMBERED = "SELECT payload FROM outbox_rows WHERE position IS NULL ORDER BY id LIMIT 1"

#: Rows whose deletion loses nothing that is promised: published, and older than the newest ?1.
OLDEST_ROWS = (
    "SELECT position, payload FROM outbox_rows"
    " WHERE position <= (SELECT published_position FROM outbox_relay)"
    " AND position <= (SELECT COALESCE(MAX(position), 0) FROM outbox_rows) - ?1 ORDER BY position LIMIT ?2"
)
FORGET_ROWS = "DELETE FROM outbox_rows WHERE position <= ?1 RETURNING 1"
OLDEST_ROW = "SELECT payload FROM outbox_rows WHERE position IS NOT NULL ORDER BY position LIMIT 1"

#: The unique index of (stream, key, sequence) finds them.
OF_KEY = (
    "SELECT sequence, payload, position IS NOT NULL AND position <= (SELECT published_position FROM outbox_relay)"
    " FROM outbox_rows WHERE stream = ?1 AND key = ?2 ORDER BY sequence"
)
REPLACE_PAYLOAD = "UPDATE outbox_rows SET payload = ?1 WHERE stream = ?2 AND key = ?3 AND sequence = ?4"

SINCE = (
    "SELECT position, payload FROM outbox_rows"
    " WHERE stream = ?1 AND region_id = ?2 AND position > ?3 ORDER BY position LIMIT ?4"
)
HISTORY = "SELECT payload FROM outbox_rows WHERE stream = ?1 ORDER BY id"
