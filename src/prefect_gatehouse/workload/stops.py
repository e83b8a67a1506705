"""Telling apart what stops the process from what a workload raises: both pass through the workload's frames."""

from __future__ import annotations

import signal
from collections.abc import Set as AbstractSet
from traceback import walk_tb
from types import CodeType

from prefect_gatehouse.foreign import traceback_of


def handlers() -> AbstractSet[CodeType]:
    """The code of every signal handler that is set now; asked before the workload runs, which could set one of its own."""
    codes = (getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals())
    return {code for code in codes if isinstance(code, CodeType)}


def let_stops_through(error: BaseException, known: AbstractSet[CodeType]) -> None:
    """Raises again what stops the process; returns if the error is the workload's.

    Ctrl-C comes from Python itself and is raised anew, without a text. What else a signal raises (Prefect's order to terminate) comes
    from a handler that was there before: by its class alone anybody could raise it, with any text.
    """
    if type(error) is KeyboardInterrupt:
        raise KeyboardInterrupt from None
    if any(frame.f_code in known for frame, _ in walk_tb(traceback_of(error))):
        raise error
