"""The registry of roles by name, and the function that runs one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack

import structlog

from backing.readiness import Readiness
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

ROLES: dict[str, Callable[[Settings, Readiness], None]] = {
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
    from pricing.errors import TariffRefused

    readiness = Readiness()
    try:
        with ExitStack() as stack:
            if settings.metrics_port:
                _serve_health(role, readiness, settings, stack)
            ROLES[role](settings, readiness)
    except (DependencyMissing, TariffRefused) as error:
        log.error("not_started", detail=str(error))  # noqa: TRY400 - the line says all there is
        print(f"hexhail {role}: {error}", file=sys.stderr)  # noqa: T201 - for whoever started it by hand
        raise SystemExit(1) from None
    except RestartNeeded as error:
        log.error("restart_needed", detail=str(error))  # noqa: TRY400 - as above
        raise SystemExit(1) from None


def _serve_health(role: str, readiness: Readiness, settings: Settings, stack: ExitStack) -> None:
    """Answer probes and scrapes from now on, while the role starts too. Raises DependencyMissing."""
    from prometheus_client import REGISTRY

    from hexhail.runtime import health_page

    page = health_page.HealthPage(role, readiness, REGISTRY)
    port = stack.enter_context(health_page.serving(page, settings.metrics_host, settings.metrics_port))
    log.info("health_served", host=settings.metrics_host, port=port)
