"""`hexhail doctor`: every part of an installation checked."""

from __future__ import annotations

import asyncio

import typer

from hexhail.cli.console import out
from hexhail.runtime.kernel_cache import use_kernel_cache


def doctor() -> None:
    """Check every part of this installation and say how to mend what fails."""
    use_kernel_cache()
    from hexhail.runtime.doctor import examine, print_findings

    findings = asyncio.run(examine())
    print_findings(out, findings)
    if any(not finding.ok and finding.is_needed for finding in findings):
        raise typer.Exit(1)
