"""Functions in machine code: written in Python, compiled once on a machine, and called without the compiler after that.

A module of kernels holds functions that Python calls (``kernel``) and functions that only they call (``helper``, ``inlined``). All are of the
part of Python that numba compiles, take arrays, numbers and booleans, and make no memory of their own. The first call of a kernel finds the
code of its whole module (``compiled.py``) and goes straight to it from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int64, py_object
from dataclasses import dataclass
from types import FunctionType
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

Function = TypeVar("Function", bound=Callable[..., Any])
Array = TypeVar("Array")

Written = Annotated[Array, "written"]
"""An array that a kernel writes to; into any other the compiler lets it write nothing."""

ELEMENTS = tuple(map(np.dtype, (np.bool_, np.uint8, np.int32, np.int64, np.uint64)))
"""What arrays may hold; the machine code has the numbers of these."""

FAILED = -(2**63)
"""What the machine code gives back where Python would have raised. From the next number on it refuses the first, second, ... argument."""

# No kernel has a result below this.
_LEAST = -(2**62)

_helpers: dict[Callable[..., Any], bool] = {}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a kernel takes in one place.

    Attributes:
        number: ``int``, ``bool`` or ``np.uint64``; None for an array.
        array: The type of an array's elements, None for a number.
        written: Whether the kernel writes to the array.
    """

    number: type | None = None
    array: np.dtype[Any] | None = None
    written: bool = False

    @classmethod
    def of(cls, hint: Any) -> Parameter:
        """The parameter that an annotation means.

        Raises:
            TypeError: A kernel can't take that.
        """
        written = get_origin(hint) is Annotated
        if written:
            hint = get_args(hint)[0]
        if get_origin(hint) is np.ndarray:
            elements = np.dtype(get_args(get_args(hint)[1])[0])
            if elements in ELEMENTS:
                return cls(array=elements, written=written)
        elif hint in (int, bool, np.uint64):
            return cls(hint)
        raise TypeError("a kernel takes flat arrays, int, bool and uint64")

    def usual(self, value: Any) -> Any:
        """An array as the machine code knows it: of numpy's own class and numpy's own copy of the type, and flat.

        Raises:
            TypeError: It is no array of these elements.
            ValueError: It is not contiguous, or is to be written to and can't be.
        """
        if self.array is None:
            return value
        if not isinstance(value, np.ndarray) or value.dtype != self.array:
            raise TypeError("a compiled function takes arrays of another type")
        if not (value.flags.c_contiguous and value.flags.aligned and (value.flags.writeable or not self.written)):
            raise ValueError("a compiled function takes arrays that are contiguous, and writes to those that can be written only")
        return np.ndarray(value.size, self.array, value)


class Kernel:
    """A function that Python calls in machine code; it runs without Python's lock and checks no index.

    Args:
        function: The same in Python, with an annotation for each parameter: a flat array (``Written`` if it writes to it), ``int``, ``bool``
            or ``np.uint64``, all of which are given as Python's numbers and taken modulo 2^64. It gives back a whole number or nothing.
        load: Finds the machine code at the first call and gives it to the kernel by ``at``; None where somebody has done so before.
    """

    def __init__(self, function: FunctionType, load: Callable[[], None] | None = None) -> None:
        self.function = function
        self._load = load
        self.__doc__ = function.__doc__
        self._call: Callable[..., int] = self._first

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it takes, in order.

        Raises:
            TypeError: An annotation is missing, or is none that a kernel may have.
        """
        hints = get_type_hints(self.function, include_extras=True)
        return tuple(Parameter.of(hints.get(name)) for name in self.function.__code__.co_varnames[: self.function.__code__.co_argcount])

    @property
    def ready(self) -> bool:
        """Whether it has its machine code."""
        return self._call != self._first

    @property
    def symbol(self) -> str:
        """What its machine code is called; C has names like ``read`` of its own."""
        return f"gatehouse_{self.function.__name__}"

    def at(self, address: int) -> None:
        """Takes the machine code at an address from now on."""
        self._call = CFUNCTYPE(c_int64, *(py_object if each.array else c_int64 for each in self.parameters))(address)

    def __call__(self, *arguments: Any) -> int:
        """Calls the machine code, which looks at each array before it does anything.

        Returns:
            The function's result, 0 if it has none.

        Raises:
            TypeError: An array is not what the kernel takes, or arguments are missing.
            ctypes.ArgumentError: A number is none.
            ValueError: An array is not contiguous, or is to be written to and can't be.
            ArithmeticError: The function failed.
        """
        # While the call lasts, ``arguments`` holds the arrays.
        result = self._call(*arguments)
        return result if result > _LEAST else self._again(result, arguments)

    def _again(self, result: int, arguments: tuple[Any, ...]) -> int:
        if result != FAILED:
            usual = [parameter.usual(value) for parameter, value in zip(self.parameters, arguments, strict=True)]
            result = self._call(*usual)
        if result < _LEAST:
            raise ArithmeticError("a compiled function failed")
        return result

    def _first(self, *arguments: Any) -> int:
        """Stands for the machine code until it is there."""
        if self._load is None:
            raise RuntimeError("the kernel has no machine code yet")
        self._load()
        return self._call(*arguments)


def helper(function: Function) -> Function:
    """A function that kernels call; in Python it stays what it is."""
    _helpers[function] = False
    return function


def inlined(function: Function) -> Function:
    """The same for a few lines called for every row, copied into each function that calls them: the call would take longer than they do."""
    _helpers[function] = True
    return function


def is_inlined(function: object) -> bool | None:
    """Whether a helper is copied into its callers; None for what is no helper."""
    return _helpers.get(function) if isinstance(function, FunctionType) else None


def load64(array: npt.NDArray[np.uint8], at: int) -> np.uint64:
    """The 8 bytes of an array from ``at`` on, as a number in the machine's byte order; compiled, no bound is checked."""
    return cast(np.uint64, array[at : at + 8].view(np.uint64)[0])


def store64(array: npt.NDArray[np.uint8], at: int, number: np.uint64) -> None:
    """Writes 8 bytes of an array from ``at`` on; compiled, no bound is checked."""
    array[at : at + 8].view(np.uint64)[0] = number


def swap64(number: np.uint64) -> np.uint64:
    """A number with its 8 bytes in the opposite order."""
    return number.byteswap()
