"""`hexhail gateway`: the entrance in front of the API processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hexhail.cli.console import fail

if TYPE_CHECKING:
    from hexhail.gateway.params import GatewayParams
    from hexhail.runtime.settings import Settings

gateway_app = typer.Typer(
    help="The gateway in front of the API processes: an HAProxy, configured from HEXHAIL_GATEWAY_….",
    no_args_is_help=True,
)


@gateway_app.command()
def config(
    out_file: Annotated[Path | None, typer.Option("--out", help="file to write; default: standard output")] = None,
) -> None:
    """Write the configuration of HAProxy."""
    from hexhail.gateway.config import haproxy_config

    _, params = _read()
    text = haproxy_config(params)
    if out_file is None:
        typer.echo(text, nl=False)
    else:
        out_file.write_text(text, encoding="utf-8")


@gateway_app.command()
def run() -> None:
    """Run HAProxy on that configuration until it is told to stop; SIGUSR1 lets open requests end first."""
    from hexhail.gateway.haproxy import run_gateway
    from hexhail.runtime import limits
    from hexhail.runtime.connections import DependencyMissing

    settings, params = _read()
    limits.raise_open_files()
    try:
        run_gateway(params, settings.data_dir)
    except DependencyMissing as error:
        fail(str(error))


def _read() -> tuple[Settings, GatewayParams]:
    from pydantic import ValidationError

    from hexhail.gateway.params import GatewayParams, GatewayRefused
    from hexhail.runtime.settings import Settings

    try:
        settings = Settings()
        return settings, GatewayParams.of(settings)
    except (ValidationError, GatewayRefused) as error:
        fail(str(error))
