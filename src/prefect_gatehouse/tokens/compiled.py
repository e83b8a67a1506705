"""Kernels by decorator: the first call of one finds the machine code of its whole module, from the cache or by compiling it."""

from __future__ import annotations

import threading
from types import FunctionType
from typing import cast

from prefect_gatehouse.tokens.kernels import Function, Kernel

_lock = threading.RLock()
_kernels: dict[str, list[Kernel]] = {}


def kernel(function: Function) -> Function:
    """A function that Python calls in machine code, see ``Kernel``."""
    module = function.__module__
    made = Kernel(cast(FunctionType, function), lambda: _load(module))
    _kernels.setdefault(module, []).append(made)
    return cast(Function, made)


def _load(module: str) -> None:
    from prefect_gatehouse.tokens import machine_code  # with LLVM, which a process that makes no tokens never loads

    kernels = _kernels[module]
    with _lock:
        if not all(each.ready for each in kernels):
            machine_code.load(module, kernels)
