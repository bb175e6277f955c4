"""`hexhail doctor`: checks every part of an installation."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from hexhail.cli.console import fail, out
from hexhail.runtime.kernel_cache import use_kernel_cache


def doctor(
    remove_old_functions: Annotated[
        bool, typer.Option("--remove-old-functions", help="delete functions of other versions from Redis, then check")
    ] = False,
) -> None:
    """Check every part of this installation and say how to mend what fails."""
    use_kernel_cache()
    from hexhail.runtime.doctor import examine, print_findings

    if remove_old_functions:
        _remove_old_functions()
    findings = asyncio.run(examine())
    print_findings(out, findings)
    if any(not finding.ok and finding.is_needed for finding in findings):
        raise typer.Exit(1)


def _remove_old_functions() -> None:
    from hexhail.runtime import doctor
    from hexhail.runtime.connections import DependencyMissing
    from hexhail.runtime.settings import Settings

    try:
        removed = asyncio.run(doctor.remove_old_functions(Settings()))
    except DependencyMissing as error:
        fail(str(error))
    out.print(f"Removed from Redis: {', '.join(removed) or 'nothing, there are no functions of other versions'}")
