"""Machine code of kernels, made by numba; imported only where the cache does not hold it.

numba compiles each kernel and what it calls. Before each comes an entry point that C can call: it takes Python's arrays and whole numbers of
64 bits, gives back one of those, and refuses arrays of another type, layout or kind than the kernel's. It finds address and length of an array
in its ``PyArrayObject``, as every extension of numpy does. The code calls nothing of Python's, numba's or numpy's, so it makes no array,
raises nothing, and counts no references.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from types import FunctionType
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from prefect_gatehouse.tokens import array_layout as layout
from prefect_gatehouse.tokens.kernels import ELEMENTS, FAILED, Kernel, Parameter, is_inlined, load64, store64, swap64

_WORD = ir.IntType(64)
# No memory of numba's, no checks for division by zero, no wrapper for Python.
_OPTIONS = {"_nrt": False, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@global_compiler_lock  # type: ignore[untyped-decorator]
def object_code(name: str, kernels: Sequence[Kernel]) -> bytes:
    """An object file (ELF, Mach-O or COFF) in which each kernel's entry point has the kernel's symbol.

    Raises:
        TypeError: A kernel gives back something else than a whole number or nothing.
        numba.core.errors.NumbaError: A function is not of the part of Python that numba compiles, or makes an array.
    """
    context = cpu_target.target_context
    context.refresh()
    library = context.codegen().create_library(name)
    library.enable_object_caching()
    module = library.create_ir_module(name)
    known = ir.GlobalVariable(module, ir.ArrayType(_WORD, 1 + len(ELEMENTS)), layout.KNOWN)
    known.initializer = ir.Constant(known.value_type, None)
    for kernel in kernels:
        function, given = _jitted(kernel.function, inline=False), tuple(map(_type, kernel.parameters))
        function.compile(given)
        result = function.overloads[given]
        _entry(context, module, kernel, result.fndesc, known)
        library.add_linking_library(result.library)
    library.add_ir_module(module)
    library.finalize()
    code: bytes = library._get_compiled_object()  # noqa: SLF001  what numba's own cache keeps
    return code


def fits_this_processor() -> bool:
    """Whether numba makes code for the processor that it runs on; its settings can name another one."""
    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    here = llvm.get_host_cpu_features()
    return bool(name == llvm.get_host_cpu_name()) and all(here.get(each[1:]) for each in features.split(",") if each.startswith("+"))


@cache
def _jitted(function: FunctionType, *, inline: bool) -> Any:
    """A function for numba, with the names that it uses standing for what numba knows."""
    known = function.__globals__
    names = {name: _for_numba(known[name]) for name in function.__code__.co_names if name in known}
    return numba.njit(forceinline=inline, **_OPTIONS)(FunctionType(function.__code__, {**known, **names}, function.__name__))


def _for_numba(value: object) -> object:
    if not isinstance(value, FunctionType):
        return value
    inline = is_inlined(value)
    return _INTRINSICS.get(value, value) if inline is None else _jitted(value, inline=inline)


def _type(parameter: Parameter) -> Any:
    if parameter.array is None:
        return {int: types.int64, bool: types.boolean, np.uint64: types.uint64}[parameter.number or int]
    return types.Array(numba.from_dtype(parameter.array), 1, "C", readonly=not parameter.written)


def _entry(context: Any, module: ir.Module, kernel: Kernel, made: Any, known: ir.GlobalVariable) -> None:
    """The entry point of a kernel."""
    if made.restype not in (types.int64, types.uint64, types.none):
        raise TypeError(f"{kernel.symbol} gives back {made.restype}")
    function = ir.Function(module, ir.FunctionType(_WORD, [_WORD] * len(kernel.parameters)), kernel.symbol)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    arguments: list[Any] = []
    for place, (parameter, kind, word) in enumerate(zip(kernel.parameters, made.argtypes, function.args, strict=True)):
        if parameter.array is None:
            arguments.append(word if kind != types.boolean else builder.icmp_unsigned("!=", word, _WORD(0)))
            continue
        for good in _checks(builder, parameter, word, known):
            with cgutils.if_unlikely(builder, builder.not_(good)):
                builder.ret(_WORD(FAILED + 1 + place))
        array = context.make_array(kind)(context, builder)
        element = context.get_data_type(kind.dtype)
        length = _at(builder, _at(builder, word, layout.LENGTHS), 0)
        data = builder.inttoptr(_at(builder, word, layout.DATA), element.as_pointer())
        populate_array(array, data, [length], [_WORD(parameter.array.itemsize)], parameter.array.itemsize, None)
        arguments.append(array._getvalue())  # noqa: SLF001  as numba's own functions do
    callee = context.declare_function(module, made)
    status, result = context.call_conv.call_function(builder, callee, made.restype, made.argtypes, arguments)
    number = _WORD(0) if made.restype == types.none else result
    builder.ret(builder.select(status.is_error, _WORD(FAILED), number))


def _checks(builder: Any, parameter: Parameter, word: Any, known: Any) -> Iterator[Any]:
    """Whether an object is an array, and then whether it is one that the kernel takes; each of them counts on those before."""
    zero = ir.IntType(32)(0)
    assert parameter.array is not None
    ndarray, elements = (builder.load(builder.gep(known, [zero, zero.type(at)])) for at in (0, 1 + ELEMENTS.index(parameter.array)))
    yield builder.icmp_unsigned("==", _at(builder, word, layout.CLASS), ndarray)
    yield builder.icmp_unsigned("==", _at(builder, word, layout.ELEMENTS), elements)
    yield builder.icmp_unsigned("==", _at(builder, word, layout.DIMENSIONS, 32), zero.type(1))
    wanted = zero.type(layout.CONTIGUOUS | layout.ALIGNED | (layout.WRITEABLE if parameter.written else 0))
    yield builder.icmp_unsigned("==", builder.and_(_at(builder, word, layout.FLAGS, 32), wanted), wanted)


def _at(builder: Any, address: Any, offset: int, bits: int = 64) -> Any:
    """A number in memory."""
    return builder.load(builder.inttoptr(builder.add(address, _WORD(offset)), ir.IntType(bits).as_pointer()))


@intrinsic  # type: ignore[untyped-decorator]
def _load64(_typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001  numba calls it with the types; the code below gets the values
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.load(_pointer(context, builder, signature, arguments))
        number.align = 1
        return number

    return types.uint64(array, types.intp), code


@intrinsic  # type: ignore[untyped-decorator]
def _store64(_typing: Any, array: Any, index: Any, number: Any) -> Any:  # noqa: ARG001  as above
    if not array.mutable:
        raise TypingError("the array is not one that the kernel says it writes to")

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature, arguments), align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint64), code


@intrinsic  # type: ignore[untyped-decorator]
def _swap64(_typing: Any, number: Any) -> Any:  # noqa: ARG001  as above
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), code


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.intp_t.as_pointer())


_INTRINSICS: dict[object, Any] = {load64: _load64, store64: _store64, swap64: _swap64}
