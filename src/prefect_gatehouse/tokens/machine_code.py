"""Machine code of a module of kernels: taken from the cache or made by numba, and loaded by LLVM (llvmlite), which is a small part of numba.

The cache holds code for one processor, one set of versions and one text of the functions. Loading it takes some milliseconds; numba takes a
second and 150 MB for the same.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import llvmlite
import numpy as np
from llvmlite import binding as llvm

from prefect_gatehouse.tokens import array_layout as layout
from prefect_gatehouse.tokens import code_cache
from prefect_gatehouse.tokens.kernels import ELEMENTS, FAILED, Kernel, is_inlined

# What LLVM may make of a loop that copies or fills. Whatever else the code asks for is not found, and it is not used.
_FROM_C = ("memcpy", "memmove", "memset")


def load(module: str, kernels: Sequence[Kernel]) -> None:
    """Gives each kernel of a module its machine code.

    Args:
        module: The module's name.
        kernels: All of its kernels.

    Raises:
        Exception: numba can't compile it, which it says in many types.
    """
    layout.prove()
    place = code_cache.Place(module, _digest(*_machine()), _digest(*_text(kernels)))
    code = place.read()
    if code is None or not _linked(module, kernels, code):
        from prefect_gatehouse.tokens import compiling

        code = compiling.object_code(module, kernels)
        if not _linked(module, kernels, code):
            raise RuntimeError("the compiled code asks for functions that are not there")
        if compiling.fits_this_processor():
            place.write(code)


def _linked(module: str, kernels: Sequence[Kernel], code: bytes) -> bool:
    """Loads an object file; False if it lacks something, or something that it needs is not there."""
    library = llvm.JITLibraryBuilder().add_object_img(code)
    process = ctypes.CDLL(None)
    for name in _FROM_C:
        library.import_symbol(name, ctypes.cast(getattr(process, name), ctypes.c_void_p).value)
    for name in (layout.KNOWN, *(kernel.symbol for kernel in kernels)):
        library.export_symbol(name)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    linker = llvm.create_lljit_compiler(suppress_errors=True)
    try:
        loaded = library.link(linker, module)
    except RuntimeError:
        return False
    # The code stays as long as the process does: a thread may be in it when Python ends.
    linker.detach()
    loaded.detach()
    ctypes.memmove(loaded[layout.KNOWN], *layout.known(ELEMENTS))
    for kernel in kernels:
        kernel.at(loaded[kernel.symbol])
    return True


def _machine() -> Iterator[object]:
    """What code depends on beside the text of its functions."""
    yield from (version("numba"), llvmlite.__version__, np.__version__, sys.implementation.cache_tag, llvm.get_process_triple())
    yield from (llvm.get_host_cpu_name(), sorted(llvm.get_host_cpu_features().items()))
    yield (ELEMENTS, FAILED, {name: value for name, value in vars(layout).items() if name.isupper()})


def _text(kernels: Sequence[Kernel]) -> Iterator[object]:
    """The text of functions and of all that they call, as Python has compiled it, which is what numba reads; and the text of our compiler."""
    left: list[FunctionType] = [kernel.function for kernel in kernels]
    seen: set[FunctionType] = set()
    yield (Path(__file__).parent / "compiling.py").read_bytes()
    yield [kernel.parameters for kernel in kernels]
    while left:
        function = left.pop()
        if function in seen:
            continue
        seen.add(function)
        yield from _code(function.__code__)
        yield is_inlined(function)
        for name in function.__code__.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, FunctionType) and is_inlined(value) is not None:
                left.append(value)
            yield _constant(value)


def _code(code: CodeType) -> tuple[object, ...]:
    if any(isinstance(constant, CodeType) for constant in code.co_consts):
        raise TypeError("a compiled function holds no other function")
    return code.co_name, code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_argcount


def _constant(value: object) -> object:
    """A global name's value, in words that are the same in each process."""
    if isinstance(value, ModuleType | FunctionType | type):
        return value.__name__
    if value is None or isinstance(value, int | float):
        return value
    raise TypeError("a compiled function uses constants and functions only")


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()
