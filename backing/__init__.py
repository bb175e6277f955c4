"""Tools without rules: what adapters and the wiring use to reach Kafka, Redis and SQL."""

from typing import TYPE_CHECKING

from kernel.lazy import lazy

if TYPE_CHECKING:
    from backing.faust_worker import build_faust_app, run_faust_app
    from backing.inboxes.redis_inboxes import RedisInboxes
    from backing.outbox.outbox import SqlOutbox
    from backing.outbox.relay import Relay
    from backing.outbox.rows import OutboxRow
    from backing.redis.functions import LuaLibrary, RedisFunctions
    from backing.sql.database import Database

__all__ = [
    "Database",
    "LuaLibrary",
    "OutboxRow",
    "RedisFunctions",
    "RedisInboxes",
    "Relay",
    "SqlOutbox",
    "build_faust_app",
    "run_faust_app",
]

__getattr__ = lazy(
    __name__,
    {
        "Database": "sql.database",
        "LuaLibrary": "redis.functions",
        "OutboxRow": "outbox.rows",
        "RedisFunctions": "redis.functions",
        "RedisInboxes": "inboxes.redis_inboxes",
        "Relay": "outbox.relay",
        "SqlOutbox": "outbox.outbox",
        "build_faust_app": "faust_worker",
        "run_faust_app": "faust_worker",
    },
)
