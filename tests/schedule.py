"""How the tests are shared out between the workers of pytest-xdist, and in which order they run."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: These share a running installation of several processes: they stay together, or each file would start its own.
TOGETHER = ("tests/api/", "tests/regions/")
#: What takes longest, the longest first: begun last, it would leave the other workers without work.
LONGEST = (
    "tests/api/",
    "tests/city/",
    "tests/regions/",
    "tests/test_kernel_modes.py",
    "tests/gateway/test_two_apis.py",
    "tests/docs/",
    "tests/web/test_pages.py",
    "tests/simulator/test_benchmark.py",
    "tests/location_ingest/test_faults.py",
    "tests/location_ingest/test_through_servers.py",
)


def group_of(node_id: str) -> str:
    """What one worker runs in one piece: a file, or the folder of those that share an installation."""
    return next((folder for folder in TOGETHER if node_id.startswith(folder)), node_id.partition("::")[0])


def rank_of(node_id: str) -> int:
    """The place of a test's group in the order: a number of `LONGEST`, or the one after all of them."""
    return next((rank for rank, path in enumerate(LONGEST) if node_id.startswith(path)), len(LONGEST))


class GroupScheduling(LoadScopeScheduling):
    """Gives a worker the next group, in the order of collection, when it is nearly done with its last one."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
