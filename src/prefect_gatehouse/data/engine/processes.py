"""A pool of processes on this machine (``concurrent.futures``, start method spawn).

Spawn, because a forked copy of a process with threads (Arrow's, Prefect's client) may inherit a lock that nobody releases; the price is
one import a worker. A worker whose parent dies ends at once, so that a killed run leaves no process that writes.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self, TypeVar

import pyarrow as pa

from prefect_gatehouse.errors import Unavailable

A = TypeVar("A")
R = TypeVar("R")


class Processes:
    """Workers as processes; use it as a context manager, which ends them.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)

    def map(self, function: Callable[[A], R], arguments: Iterable[A], ahead: int) -> Iterator[R]:
        """Calls a module's function for each argument, at most ``ahead`` at once, and gives the results in order.

        Raises:
            Unavailable: A worker died.
        """
        waiting: deque[Future[R]] = deque()
        try:
            for argument in arguments:
                waiting.append(self._pool.submit(function, argument))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise Unavailable(
                "a process that minimises the data died", where="minimise", advice="see that the machine has memory for it, then resume the run"
            ) from None
        finally:
            for future in waiting:
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)


def _begin() -> None:
    # Every worker is one core's share; Arrow would start as many threads as there are cores in each.
    pa.set_cpu_count(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
