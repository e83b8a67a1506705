"""Functions compiled by numba, and 8 unaligned bytes of memory as one number; only the compiled tiers import this module.

Compiled code is kept in numba's own cache: ``__pycache__`` beside the source, else the user's cache folder, else ``NUMBA_CACHE_DIR``.
Whoever can write there can run code as the caller, as with any ``.pyc`` file. It is made anew when the file of the function changes; who
edits a function that other files take over (``inlined`` or called) removes the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function in machine code, compiled at its first call; it runs without Python's lock and checks no index.

    Where no folder for the cache can be written, the function is compiled anew in each process.
    """
    return _compiled(function)


def inlined(function: Function) -> Function:
    """The same for a few lines called for every row, copied into each function that calls them: the call would take longer than they do."""
    return _compiled(function, forceinline=True)


def _compiled(function: Function, **options: bool) -> Function:
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # numba found no folder for its cache
        return numba.njit(nogil=True, **options)(function)  # type: ignore[no-any-return]


@intrinsic  # type: ignore[untyped-decorator]
def load64(_typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001  numba calls it with the types; the code below gets the values
    """The 8 bytes of a uint8 array from ``index`` on, as a number in the machine's byte order; no bound is checked."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        number = builder.load(pointer)
        number.align = 1
        return number

    return types.uint64(array, types.intp), code


@intrinsic  # type: ignore[untyped-decorator]
def store64(_typing: Any, array: Any, index: Any, number: Any) -> Any:  # noqa: ARG001  numba calls it with the types; the code below gets the values
    """Writes 8 bytes of a uint8 array from ``index`` on; no bound is checked."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature, arguments), align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint64), code


@intrinsic  # type: ignore[untyped-decorator]
def swap64(_typing: Any, number: Any) -> Any:  # noqa: ARG001  numba calls it with the types; the code below gets the values
    """A number with its 8 bytes in the opposite order."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), code


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.intp_t.as_pointer())
