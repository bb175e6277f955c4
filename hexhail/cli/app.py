"""The command line. Commands import lazily: `--help` must not wait for compilers."""

from __future__ import annotations

import typer

from hexhail.cli.bench import bench
from hexhail.cli.city import city_app
from hexhail.cli.compare import compare
from hexhail.cli.demo import demo
from hexhail.cli.doctor import doctor
from hexhail.cli.export import export, rides
from hexhail.cli.gateway import gateway_app
from hexhail.cli.keys import keys_app
from hexhail.cli.pings import pings_app
from hexhail.cli.replay import replay_app
from hexhail.cli.serve import serve
from hexhail.cli.simulate import simulate
from hexhail.cli.token import token_app
from hexhail.cli.trace import trace

app = typer.Typer(
    help="A ride-hailing dispatch engine: run a city, serve one, look after it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    # Plain tracebacks: rich draws boxes that fill a log with forty lines.
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(serve)
app.add_typer(gateway_app, name="gateway")
app.command()(doctor)
app.add_typer(city_app, name="city")
app.command()(simulate)
app.command()(compare)
app.add_typer(replay_app, name="replay")
app.command()(trace)
app.command()(export)
replay_app.command("rides")(rides)
app.add_typer(pings_app, name="pings")
app.add_typer(token_app, name="token")
app.add_typer(keys_app, name="keys")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(bench)


def main() -> None:
    """Entry point of `hexhail`."""
    app()
