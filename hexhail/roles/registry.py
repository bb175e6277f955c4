"""The registry of roles by name, and the function that runs one."""

from __future__ import annotations

import sys
from collections.abc import Callable

import structlog

from backing.retry import RestartNeeded
from hexhail.roles.api import run_api
from hexhail.roles.ingester import run_ingester
from hexhail.roles.matcher import run_matcher
from hexhail.roles.pricer import run_pricer
from hexhail.roles.relay import run_relay
from hexhail.roles.traffic import run_traffic
from hexhail.runtime import limits, logs
from hexhail.runtime.connections import DependencyMissing
from hexhail.runtime.settings import Settings

log = structlog.get_logger(__name__)

ROLES: dict[str, Callable[[Settings], None]] = {
    "api": run_api,
    "ingester": run_ingester,
    "matcher": run_matcher,
    "pricer": run_pricer,
    "relay": run_relay,
    "traffic": run_traffic,
}


def run(role: str, settings: Settings) -> None:
    """Run one role until it is told to stop.

    Exits with 1 and one line if a server it needs does not answer, or if it can not go on and must be started again.
    """
    logs.configure(role)
    limits.raise_open_files()
    if settings.metrics_port:
        from prometheus_client import start_http_server

        start_http_server(settings.metrics_port, addr="127.0.0.1")
    from pricing.errors import TariffRefused

    try:
        ROLES[role](settings)
    except (DependencyMissing, TariffRefused) as error:
        log.error("not_started", detail=str(error))  # noqa: TRY400 - the line says all there is
        print(f"hexhail {role}: {error}", file=sys.stderr)  # noqa: T201 - for whoever started it by hand
        raise SystemExit(1) from None
    except RestartNeeded as error:
        log.error("restart_needed", detail=str(error))  # noqa: TRY400 - as above
        raise SystemExit(1) from None
