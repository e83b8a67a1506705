"""A process that lives for one run: when it looks for garbage, and how it ends."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

_YOUNG, _OLDER, _ALL = 100_000, 20, 50
"""New objects before a look at them, such looks before one at those that outlived one, and such looks before one at everything."""


def look_rarely() -> None:
    """Leaves what was imported by now out of every look for garbage, and looks less often at the rest.

    A look at everything takes 0.1 s of a process that lives for seconds and makes little that goes round in a circle.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _ALL)


def end_process(code: int) -> NoReturn:
    """Ends this process as the interpreter does, but unwinds nothing and waits for no daemon thread: an engine's heartbeat sleeps up to a second.

    Prefect's logs and events are sent from threads of its own; what is registered to run at an interpreter's end waits for them. The forks of
    multiprocessing leave in the same way.

    Args:
        code: The process's exit code.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or there is none
            stream.flush()
    os._exit(code)
