"""Resource limits of the process."""

from __future__ import annotations

import resource


def raise_open_files() -> None:
    """Allow as many open files as the system lets us: a socket is one, and the usual 1,024 are soon used up."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
