"""How kernels are compiled: decided here once, for every kernel of the project.

The only file that imports numba. No ``fastmath``: it deletes infinities, and infinity means "unreachable" to us.
"""

from collections.abc import Callable
from typing import TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile ``function`` without Python objects, releasing the GIL, cached on disk.

    The function as written stays reachable as ``function.py_func``, unless NUMBA_DISABLE_JIT is set.
    Keep kernels that call each other in one file: an edit does not invalidate a cached caller in another file.
    """
    compiled: F = njit(cache=True, nogil=True)(function)
    return compiled
