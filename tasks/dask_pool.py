"""A Dask cluster as a pool of workers, through ``prefect_dask.DaskTaskRunner``.

What is submitted is a function of the package and a value of references. Not a Prefect task for each part: its context, with the API's
address and key, would travel in the task graph, and the gate is the task that people look at; its progress artifact counts the parts.
A part whose worker dies is tried again elsewhere, which is harmless: nothing counts until its result names it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, cast

from prefect_gatehouse.data.engine.remote import forget
from prefect_gatehouse.errors import InputError, Unavailable

if TYPE_CHECKING:
    from distributed import Future

A = TypeVar("A")
R = TypeVar("R")


class DaskPool:
    """Workers of a Dask cluster; use it as a context manager, which connects and disconnects.

    Args:
        workers: How many a local cluster gets; with an address, how many parts are worth submitting at once.
        address: Of a scheduler, empty for a local cluster that lives as long as the pool.
    """

    def __init__(self, workers: int, address: str = "") -> None:
        try:
            from prefect_dask import DaskTaskRunner
        except ImportError:
            raise InputError(
                "the data engine dask is not installed", where="execution.data_engine", advice="install prefect-gatehouse[dask]"
            ) from None
        self.workers = workers
        local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
        self._runner = DaskTaskRunner(address=address) if address else DaskTaskRunner(cluster_kwargs=local)

    def map(self, function: Callable[[A], R], arguments: Iterable[A], ahead: int) -> Iterator[R]:
        """Calls a module's function for each argument, at most ``ahead`` at once, and gives the results in order.

        Raises:
            Unavailable: The cluster does not answer, or a worker died again and again on one part.
        """
        waiting: deque[Future] = deque()
        try:
            for argument in arguments:
                waiting.append(self._submit(function, argument))
                if len(waiting) >= ahead:
                    yield cast("R", _result(waiting.popleft()))
            while waiting:
                yield cast("R", _result(waiting.popleft()))
        finally:
            for future in waiting:
                future.cancel()

    def _submit(self, function: Callable[[A], R], argument: A) -> Future:
        try:
            return self._runner.client.submit(function, argument, pure=False)
        except Exception:  # noqa: BLE001 - the client's errors have many types and may quote the argument
            raise _gone() from None

    def __enter__(self) -> Self:
        self._runner.__enter__()
        try:
            self._runner.client  # noqa: B018 - connects
        except BaseException as error:
            self._runner.__exit__(None, None, None)
            if isinstance(error, Exception):
                raise _gone() from None
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(Exception):  # a worker that is gone holds no key
            self._runner.client.run(forget)
        with suppress(Exception):  # what the cluster was for is done, or has failed with an error of its own
            self._runner.__exit__(None, None, None)


def _result(future: Future) -> object:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - what a worker raises is a value by then; this is the cluster's own trouble
        if type(error).__name__ == "KilledWorker":
            advice = "see that the workers have memory for it, then resume the run"
            raise Unavailable("workers that minimise the data died again and again", where="execution.data_engine", advice=advice) from None
        raise _gone() from None


def _gone() -> Unavailable:
    return Unavailable("the Dask cluster does not answer", where="execution.data_engine", advice="check GATEHOUSE_DASK_ADDRESS, then resume the run")
