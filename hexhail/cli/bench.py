"""`hexhail bench`: the benchmarks of a source checkout."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from hexhail.cli.console import fail
from hexhail.runtime.kernel_cache import use_kernel_cache


def bench(context: typer.Context) -> None:
    """Run benchmarks: `hexhail bench list`; they are in the source checkout."""
    use_kernel_cache()
    sys.path.insert(0, str(Path(__file__).parents[2]))
    try:
        from benchmarks.__main__ import main as run_benchmarks
    except ImportError:
        fail("the benchmarks are not installed with the package: run this in a checkout, after `make bench` or uv")
    raise typer.Exit(run_benchmarks(context.args))
