"""Keeping a workload's words in: what it prints, warns, logs or lets its libraries and child processes print is dropped.

Python's own streams are replaced, and so are the file descriptors below them, which C code and child processes write to.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import TextIO

from prefect_gatehouse.foreign import builtin_name


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Nothing of what is written in this block, by whatever thread, gets out of the process's standard streams or its logs."""
    kept = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # handlers keep the streams that they were made with
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook, threading.excepthook = _drop, _drop
    sink = io.StringIO()
    try:
        with (
            _nowhere(1),
            _nowhere(2),
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook, threading.excepthook = hooks
        logging.disable(kept)


def _drop(error: object) -> None:
    """Says nothing of an error that Python can't raise."""


@contextlib.contextmanager
def _nowhere(descriptor: int) -> Iterator[None]:
    """A file descriptor that leads nowhere for a while; what was written before gets out, and what is in a buffer at the end does not."""
    streams = {1: (sys.stdout, sys.__stdout__), 2: (sys.stderr, sys.__stderr__)}[descriptor]
    _flush(streams)
    try:
        kept = os.dup(descriptor)
    except OSError:  # a daemon without streams
        yield
        return
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, descriptor)
        os.close(nothing)
        yield
    finally:
        _flush(streams)
        os.dup2(kept, descriptor)
        os.close(kept)


def _flush(streams: Iterable[TextIO | None]) -> None:
    for stream in streams:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # one that is closed, or none
            stream.flush()  # type: ignore[union-attr]


def withhold_ignored_errors() -> None:
    """From now on Python does not print errors that it can't raise, of finalisers and threads: their texts could hold data."""

    def unraisable(error: sys.UnraisableHookArgs) -> None:
        _tell(error.exc_value, "a finaliser")

    def in_thread(error: threading.ExceptHookArgs) -> None:
        _tell(error.exc_value, "a thread")

    sys.unraisablehook = unraisable
    threading.excepthook = in_thread


def _tell(error: BaseException | None, place: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # at the end of a process there may be no stream
        sys.stderr.write(f"{builtin_name(error)} in {place} was ignored; its text is withheld, it could hold data\n")
