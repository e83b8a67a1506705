"""What differs from process to process, made the same in a cell: the clock and the system's random numbers.

A workload that asks for the time, or for a generator without a seed, gets the same answers in every replay; so does one that walks a set, since
the interpreter starts with a fixed hash seed (``cell.ENVIRONMENT``). It is a help to honest code, which replays by construction then. It binds
nobody: what the kernel itself answers (a clock read by C code) stays as it is, and the rehearsal shows the difference.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import itertools
import os
import random
import time
from collections.abc import Callable
from typing import Any

_START = 1_767_225_600.0  # 2026-01-01, any instant
_TICK = 1e-3  # each look at the clock is later than the one before, or a loop that waits for it would not end


def fix_clock() -> None:
    """From now on wall clock and performance counter begin at one instant and go on with each look."""
    looks = itertools.count(1)

    def now() -> float:
        return _START + next(looks) * _TICK

    local, universal, text, form = time.localtime, time.gmtime, time.ctime, time.strftime
    time.time = time.perf_counter = now
    time.time_ns = time.perf_counter_ns = lambda: int(now() * 1e9)
    time.localtime = lambda seconds=None: local(now() if seconds is None else seconds)
    time.gmtime = lambda seconds=None: universal(now() if seconds is None else seconds)
    time.ctime = lambda seconds=None: text(now() if seconds is None else seconds)
    time.strftime = lambda layout, moment=None: form(layout, local(now()) if moment is None else moment)
    _replace(datetime.datetime, "now", lambda cls, tz=None: cls.fromtimestamp(now(), tz))
    _replace(datetime.datetime, "utcnow", lambda cls: cls.fromtimestamp(now(), datetime.UTC).replace(tzinfo=None))


def _replace(kind: type, name: str, function: Callable[..., Any]) -> None:
    """A class method of a class that is written in C, which allows no assignment: libraries compare with the class, so it stays the same."""
    methods = gc.get_referents(kind.__dict__)[0]
    methods[name] = classmethod(function)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


class Entropy:
    """The system's random numbers as a stream that begins anew with each round."""

    def __init__(self) -> None:
        self._stream = random.Random(0)  # noqa: S311 - the same every time is the point
        self._seed = random.Random.seed

    def begin(self, number: int) -> None:
        """From now on the numbers of this round are drawn."""
        self._seed(self._stream, number)

    def install(self) -> None:
        """Puts it in the place of what Python and NumPy ask for a seed."""
        import numpy as np

        stream, seed = self._stream, self._seed

        def seeded(self: random.Random, a: Any = None, version: int = 2) -> None:
            seed(self, stream.getrandbits(256) if a is None else a, version)

        os.urandom = random._urandom = stream.randbytes  # type: ignore[attr-defined] # noqa: SLF001 - what SystemRandom asks
        random.Random.seed = seeded  # type: ignore[method-assign]
        random.seed = random._inst.seed  # noqa: SLF001 - the generator behind random.random
        np.random.bit_generator.randbits = stream.getrandbits  # type: ignore[attr-defined]
