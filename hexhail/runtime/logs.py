"""Logging: one JSON object a line, on standard output."""

from __future__ import annotations

import logging
import sys

import msgspec
import structlog


def configure(role: str) -> None:
    """Send every log line of this process, ours and the libraries', out as JSON with the role in it."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _, __, event: {"role": role, **event},
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(lambda event, **_: msgspec.json.encode(event, enc_hook=str).decode()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # They tell of every request, rebalance and heartbeat; their warnings are what matters here.
    for name in ("aiokafka", "faust", "mode", "httpx", "uvicorn", "hexhail.streams"):
        logging.getLogger(name).setLevel(logging.WARNING)
