"""Locust's web page over a city: `make load`, or `python -m benchmarks.load --city-env hexhail-run/city.env`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shlex
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from benchmarks.load.locust_processes import LoadParams, page_commands, running, wait_for_end
from hexhail.demo.demo import DemoParams, running_city
from hexhail.runtime import embedded
from hexhail.runtime.settings import MANHATTAN

EPILOG = """examples:
  make load                                                      start Manhattan and the page
  make load LOAD_ARGS="--drivers 2000 --workers 1"               more drivers, in a process of their own
  make load LOAD_ARGS="--city-env hexhail-run/city.env"          a city that hexhail demo runs
  make load LOAD_ARGS="--city-env my.env --host https://api.example.org"

The page asks for a number of users: the drivers, and then one for each new rider a second.
"""


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    found = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    found.add_argument("--city-env", type=Path, metavar="FILE", help="settings of a running city, NAME=value lines")
    found.add_argument("--host", help="address of its API; else HEXHAIL_PUBLIC_URL of the file")
    found.add_argument("--city", type=Path, default=MANHATTAN, help="folder of the city to start, without --city-env")
    found.add_argument("--speed", type=float, default=1.0, help="city seconds in a second, without --city-env")
    found.add_argument("--requests", type=Path, metavar="CSV", help="wanted rides, as hexhail simulate takes them")
    found.add_argument("--drivers", type=int, default=300)
    found.add_argument("--riders-per-s", type=int, default=2, help="new riders a second to begin with")
    found.add_argument("--cancel-share", type=float, default=0.2, help="riders who cancel once a driver is on the way")
    found.add_argument("--workers", type=int, default=0, help="processes of people beside the one with the page")
    found.add_argument("--web-port", type=int, default=8089)
    return found


def read_env(path: Path) -> dict[str, str]:
    """Read the lines NAME=value of a file, quoted as for a shell. Raises ValueError for a line that is none."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        name, equals, value = words[-1].partition("=")
        if not equals:
            raise ValueError(f"{path}, line {number}: expected NAME=value, not {line!r}")
        found[name] = value
    return found


@contextlib.asynccontextmanager
async def _city(options: argparse.Namespace) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Give the address of the API and the settings of a city, started if there is none."""
    if options.city_env is not None:
        env = read_env(options.city_env)
        url = options.host or env.get("HEXHAIL_PUBLIC_URL")
        if not url:
            raise ValueError(f"{options.city_env} has no HEXHAIL_PUBLIC_URL: say --host http://…")
        yield url, env
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        params = DemoParams(city_dir=options.city, run_dir=Path(folder), speed=options.speed, port=0)
        async with running_city(params, print) as demo:
            print(f"operators see {demo.url}/#token={demo.token}")
            yield demo.public_url, demo.env


async def show(options: argparse.Namespace) -> int:
    """Show the page until locust ends; return its exit code."""
    params = LoadParams(options.drivers, options.cancel_share, options.requests, options.workers)
    async with _city(options) as (url, env):
        port = options.web_port if embedded.is_free(options.web_port) else embedded.free_port()
        commands = page_commands(url, params, port, options.riders_per_s)
        with running(commands, env, None) as processes:
            leader = next(iter(processes.values()))
            for number in (signal.SIGINT, signal.SIGTERM):
                # Locust sends its people home and ends, and then the city is stopped.
                asyncio.get_running_loop().add_signal_handler(number, leader.terminate)
            print(f"locust: http://127.0.0.1:{port}", flush=True)
            return await asyncio.to_thread(wait_for_end, processes)


def main(arguments: Sequence[str]) -> int:
    """Return the exit code."""
    options = parser().parse_args(arguments)
    if options.host and options.city_env is None:
        parser().error("--host needs --city-env: people have to sign tokens with the city's keys")
    try:
        return asyncio.run(show(options))
    except (OSError, ValueError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
