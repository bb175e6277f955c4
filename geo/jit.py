"""Compiles the kernels of the project; the only file that imports numba.

No ``fastmath``: it breaks infinities, and infinity means "unreachable" here.
"""

import ctypes
from collections.abc import Callable
from typing import TypeVar

from llvmlite import binding
from numba import config, njit, types

F = TypeVar("F", bound=Callable[..., object])

# How the arguments of a C function are written: p an address, i a C int, u an unsigned 64-bit number.
_NUMBA_TYPES = {"p": types.uintp, "i": types.int32, "u": types.uint64}
_C_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int32, "u": ctypes.c_uint64}
# False when NUMBA_DISABLE_JIT runs the kernels as written: a few hundred times slower, but visible to coverage.
IS_COMPILED = not config.DISABLE_JIT

_addresses: dict[str, int] = {}


def kernel(function: F) -> F:
    """Compile ``function`` without Python objects, releasing the GIL, cached on disk.

    The function as written stays reachable as ``function.py_func``, unless NUMBA_DISABLE_JIT is set.
    Keep kernels that call each other, or share a constant, in one file: an edit of a file does not invalidate the cache
    of another.
    """
    compiled: F = njit(cache=True, nogil=True)(function)
    return compiled


def declare_c_function(name: str, arguments: str) -> Callable[..., int]:
    """Declare a C function for use in kernels; it returns an unsigned 32-bit error code.

    ``arguments`` holds one letter each: p, i or u. A declaration by name, unlike a pointer, lets the callers be
    cached; its address has to be given by ``provide_c_function`` before the first call.
    """
    if not IS_COMPILED:
        prototype = ctypes.CFUNCTYPE(ctypes.c_uint32, *(_C_TYPES[letter] for letter in arguments))
        return lambda *values: int(prototype(_addresses[name])(*values))
    external: Callable[..., int] = types.ExternalFunction(
        f"hexhail_{name}", types.uint32(*(_NUMBA_TYPES[letter] for letter in arguments))
    )
    return external


def provide_c_function(name: str, address: int) -> None:
    """Set the address of a declared function."""
    _addresses[name] = address
    binding.add_symbol(f"hexhail_{name}", address)
