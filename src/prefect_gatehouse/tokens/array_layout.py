"""Where an array's address, length and type lie in memory: the fields of ``PyArrayObject``, part of numpy's C interface (``ndarraytypes.h``).

Compiled code reads them as an extension of numpy does. ``prove`` compares them with what Python says before anything is called.
"""

from __future__ import annotations

import sys
from ctypes import c_int, c_int64
from typing import Any

import numpy as np

# Behind the header that all of Python's objects have; its last word is the class.
_HEADER = object.__basicsize__
CLASS = _HEADER - 8
DATA, DIMENSIONS, LENGTHS, ELEMENTS, FLAGS = (_HEADER + offset for offset in (0, 8, 16, 40, 48))
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400
_MARKS = CONTIGUOUS | ALIGNED | WRITEABLE

KNOWN = "gatehouse_known"
"""Memory of the compiled code: the addresses of the class of arrays and of numpy's copy of each type of elements."""


def prove() -> None:
    """Compares the fields of some arrays with what Python says of them.

    Raises:
        RuntimeError: This is another Python or another numpy than the ones known here.
    """
    if sys.implementation.name != "cpython":  # elsewhere an object's number is not its address
        raise RuntimeError("the compiled functions work with CPython only")
    sample = np.zeros(7, np.int32)
    frozen = sample[2:5]
    frozen.flags.writeable = False
    for array, flags in ((sample, _MARKS), (frozen, _MARKS - WRITEABLE), (sample[::2], _MARKS - CONTIGUOUS)):
        length = _word(_word(id(array) + LENGTHS))
        found = (_word(id(array) + CLASS), _word(id(array) + ELEMENTS), _word(id(array) + DATA), length)
        dimensions, marks = (c_int.from_address(id(array) + offset).value for offset in (DIMENSIONS, FLAGS))
        expected = (id(np.ndarray), id(np.dtype(np.int32)), array.ctypes.data, len(array), 1, flags)
        if (*found, dimensions, marks & _MARKS) != expected:
            raise RuntimeError("arrays look otherwise in memory than the compiled functions expect")


def known(elements: tuple[np.dtype[Any], ...]) -> tuple[bytes, int]:
    """What ``KNOWN`` holds, and its size."""
    content = np.array([id(np.ndarray), *map(id, elements)], np.int64).tobytes()
    return content, len(content)


def _word(address: int) -> int:
    return c_int64.from_address(address).value
