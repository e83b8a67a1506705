"""The one mechanism around every gate.

``@gate`` turns a plain function ``(attempt, previous value, ...) -> next value`` into a gate: a Prefect task, called directly, with
lineage tags, ledger events before and after, from which what is told outside is made, and a sanitised error. The value that a gate
returns is stored with its "after" event under ``run:gate[:round]``; a resumed run reads it from there and the function does
not run again. Prefect persists nothing.
"""

from __future__ import annotations

import errno
import logging
import secrets
import time
from collections.abc import Callable
from typing import Concatenate, Generic, Literal, ParamSpec, TypeVar

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import Pause
from prefect.states import Completed, Failed

from prefect_gatehouse.errors import GatehouseError, Interrupted, StorageError, Superseded, Unavailable, Waiting
from prefect_gatehouse.evidence.tags import tags_of
from prefect_gatehouse.foreign import builtin_name, own_place
from prefect_gatehouse.ledger.events import GateEntered, GateFailed, GatePassed
from prefect_gatehouse.ledger.store import Transaction
from prefect_gatehouse.run.attempt import Attempt, not_stopped
from prefect_gatehouse.run.gate_value import GateValue
from prefect_gatehouse.run.policy_questions import Told
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.tasks.stopped import asked_beside, refuse_if_stopped

P = ParamSpec("P")
V = TypeVar("V", bound=GateValue | CredentialLease)
AndThen = Callable[[Attempt, Transaction, V], None]
Heeds = Literal["at once", "soon", "never"]
"""How soon a gate heeds that somebody cancelled or suspended the run: it asks in any case, or unless that was asked half a second ago, or never."""
_SOON = 0.5  # seconds


class _NoEmptyTraceback(logging.Filter):
    """Prefect logs a task that returned a failed state with a traceback of no exception, which reads "NoneType: None"."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info == (None, None, None):
            record.exc_info = None
        return True


logging.getLogger("prefect.task_runs").addFilter(_NoEmptyTraceback())

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def gate(
    returns: type[V],
    *,
    and_then: AndThen[V] | None = None,
    heeds_cancellation: Heeds = "soon",
    nothing_to_do: Callable[..., V | None] | None = None,
) -> Callable[[Callable[Concatenate[Attempt, P], V]], Gate[P, V]]:
    """Makes a gate of a function.

    Args:
        returns: What the gate returns; what the ledger stored is checked against it when a run is resumed.
        and_then: Called with the value in the transaction of the "after" event.
        heeds_cancellation: ``at once`` for a gate that lets something out, ``never`` only for the one that cleans up a cancelled run.
        nothing_to_do: Gives the value where a passage would do nothing and so have nothing to tell, and None otherwise.
    """

    def wrap(function: Callable[Concatenate[Attempt, P], V]) -> Gate[P, V]:
        return Gate(function, returns, and_then, heeds_cancellation, nothing_to_do)

    return wrap


class Gate(Generic[P, V]):
    """A gate; call it with the attempt and the previous gate's value."""

    def __init__(
        self,
        function: Callable[Concatenate[Attempt, P], V],
        returns: type[V],
        and_then: AndThen[V] | None,
        heeds_cancellation: Heeds,
        nothing_to_do: Callable[..., V | None] | None,
    ) -> None:
        self.name = function.__name__
        if issubclass(returns, GateValue) and returns.gate != self.name:
            raise TypeError(f"{returns.__name__} says that {returns.gate} returns it, not {self.name}")
        self.body = function
        self.__doc__ = function.__doc__
        self._returns = returns
        self._and_then = and_then
        self._heeds_cancellation = heeds_cancellation
        self._nothing_to_do = nothing_to_do

    def kept(self, attempt: Attempt, round_number: int | None = None) -> V | None:
        """The value that an earlier attempt stored, None if this gate has not been passed.

        Raises:
            Tampered: What is stored is not what was stored, or not of the declared type.
        """
        if not issubclass(self._returns, GateValue):
            return None
        return attempt.chain.read(_name(self.name, round_number), self._returns)

    def __call__(self, attempt: Attempt, *args: P.args, **kwargs: P.kwargs) -> V:
        """Passes the gate, or returns what an earlier attempt stored."""
        return self._pass(attempt, None, args, kwargs)

    def in_round(self, number: int, attempt: Attempt, *args: P.args, **kwargs: P.kwargs) -> V:
        """Passes the gate once for a round."""
        return self._pass(attempt, number, args, kwargs)

    def _pass(self, attempt: Attempt, number: int | None, args: tuple[object, ...], kwargs: dict[str, object]) -> V:
        value = self.kept(attempt, number)
        if value is None and self._nothing_to_do is not None:
            value = self._nothing_to_do(attempt, *args, **kwargs)
        if value is not None:
            return value
        passage = Passage(self, attempt, number, args, kwargs)
        if FlowRunContext.get() is None:
            return passage.make()  # a dry run: the same gate, without Prefect
        label = self.name if number is None else f"{self.name} {number + 1}"
        as_task = task(name=self.name, task_run_name=label, persist_result=False, cache_policy=NO_CACHE, retries=0)
        as_task(passage.as_task)(return_state=True)
        if passage.stopped is not None:
            raise passage.stopped
        assert passage.value is not None  # as_task sets one or the other
        return passage.value

    def run(self, attempt: Attempt, args: tuple[object, ...], kwargs: dict[str, object]) -> V:
        """Calls the gate's function."""
        return self.body(attempt, *args, **kwargs)  # type: ignore[arg-type]

    def finish(self, attempt: Attempt, tx: Transaction, value: V) -> None:
        """Runs what has to commit together with the "after" event."""
        if self._and_then is not None:
            self._and_then(attempt, tx, value)

    def heed(self, attempt: Attempt) -> Callable[[], None]:
        """Asks Prefect whether somebody cancelled or suspended the run: a state set directly stops no process.

        Returns:
            Waits for the answer, and raises what ``refuse_if_stopped`` does. A gate that lets something out calls it right before, as
            ``attempt.heed``: until then it judges, beside a server that is busy. Other gates have nothing left to wait for.
        """
        if self._heeds_cancellation == "at once":
            return asked_beside(attempt, self.name)
        if self._heeds_cancellation == "soon" and time.monotonic() - attempt.asked_prefect > _SOON:
            refuse_if_stopped(attempt, self.name)
        return not_stopped


class Passage(Generic[V]):
    """One passage through a gate by one attempt."""

    def __init__(self, gate_: Gate[..., V], attempt: Attempt, number: int | None, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        self.gate = gate_
        self.attempt = attempt
        self.number = number
        self.args = args
        self.kwargs = kwargs
        self.value: V | None = None
        self.stopped: GatehouseError | Pause | None = None

    def as_task(self) -> State[None]:
        """The body of the Prefect task: a clear state instead of an exception, so that no traceback is stored."""
        try:
            self.value = self._heeding()
        except Waiting as waiting:
            self.stopped = waiting
            return Completed(name="Suspended", message=waiting.message)  # in the middle of the gate; another process comes back to it
        except Pause as by_hand:
            self.stopped = by_hand
            return Completed(name="Suspended", message="suspended by hand in Prefect")
        except Exception as error:  # noqa: BLE001 - Prefect would store a foreign error's text and traceback
            self.stopped = sanitised(error, self.gate.name)
            return Failed(message=str(self.stopped))
        return Completed(message=f"{self.gate.name} passed")

    def _heeding(self) -> V:
        before, heed = self.attempt.heed, self.gate.heed(self.attempt)
        self.attempt.heed = heed
        try:
            value = self.make()
        except Exception:
            heed()  # who was stopped is told so, whatever else is wrong
            raise
        finally:
            self.attempt.heed = before
        heed()
        return value

    def make(self) -> V:
        """Before, the function, after."""
        self._tag(())
        token = secrets.token_hex(4)
        mark = f"{_name(self.gate.name, self.number)}:{token}"
        with self.attempt.effect() as tx:
            self.attempt.append(tx, f"entered:{token}", GateEntered(gate=self.gate.name, round=self.number))
            entered = tx.newest()
        try:
            value = self.gate.run(self.attempt, self.args, self.kwargs)
            self._tag((value,))
            self._store(mark, entered, value)
        except Waiting:
            raise  # nothing failed: the event that the run waits follows
        except Exception as error:  # noqa: BLE001 - foreign errors become ours, without their text
            stopped = sanitised(error, self.gate.name)
            self._failed(mark, entered, stopped)
            raise stopped from None
        return value

    def _store(self, mark: str, entered: int, value: V) -> None:
        record = value.record if isinstance(value, CredentialLease) else value
        # A lease is never replayed, so its event has a name of its own; a value is found again under the gate's.
        name = mark if isinstance(value, CredentialLease) else _name(self.gate.name, self.number)
        passed = GatePassed(gate=self.gate.name, round=self.number, entered=entered, value=self.attempt.chain.stored(record))
        with self.attempt.effect() as tx:
            self.attempt.append(tx, name, passed)
            self.gate.finish(self.attempt, tx, value)

    def _failed(self, mark: str, entered: int, error: GatehouseError) -> None:
        try:
            if isinstance(error, Told) and not error.recorded:
                self.attempt.record(f"denied:{mark}", error.denial)
                error.recorded = True
            self.attempt.record(f"failed:{mark}", GateFailed(gate=self.gate.name, round=self.number, entered=entered, **error.as_dict()))
        except (StorageError, Superseded):
            return  # the first error is the one to tell; a full disk or a newer attempt can't be written down here

    def _tag(self, values: tuple[object, ...]) -> None:
        tags = tags_of(self.attempt.run_id, self.attempt.settings.environment, (*self.args, *self.kwargs.values(), *values), self.gate.name)
        context = TaskRunContext.get()
        if context is not None:
            # Not through with_options(tags=) or prefect.tags: those cost a concurrency call for each task.
            context.task_run.tags = sorted(tags)


def _name(name: str, number: int | None) -> str:
    return name if number is None else f"{name}:{number}"


def sanitised(error: Exception, where: str) -> GatehouseError:
    """Our own error as it is; for a foreign one the nearest type of Python's own and the line of ours that it passed, never its text."""
    if isinstance(error, GatehouseError):
        return error
    place, kind = own_place(error), builtin_name(error)
    if isinstance(error, OSError) and error.errno in _FULL:
        reason = errno.errorcode.get(error.errno, "")
        return StorageError(f"the disk can't be used ({reason} at {place})", where=where, advice="free space or fix permissions, then resume the run")
    if isinstance(error, httpx.TransportError | ConnectionError):
        return Unavailable(f"a server can't be reached ({kind} at {place})", where=where, advice="is the Prefect server up?")
    if isinstance(error, MemoryError):
        return Interrupted("out of memory", where=where, advice="give the worker more memory, then resume the run")
    return Interrupted(
        f"unexpected {kind} at {place}; its text is withheld, it could hold data",
        where=where,
        advice="fix the cause, then resume the run",
    )
