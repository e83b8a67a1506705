"""What is told to go wrong at a service's calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Kind = Literal["error", "error-after", "throttle", "drop-before", "drop-after", "slow-before", "slow-after", "hold-before", "hold-after", "lose"]
_HELD_AT_MOST = 120.0  # seconds; a test that died must not hold a thread for ever


class Fault(Exception):
    """An error of a service, by the name or number that the service gives it.

    Args:
        code: The service's own.
        message: What the service says.
        status: HTTP's, where the service's model has none for the code.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class CallFault:
    """A fault of one operation's calls.

    Attributes:
        operation: The operation's name.
        kind: ``error`` answers with ``code`` and ``status``, ``throttle`` with 429, and nothing is done; ``error-after`` answers so when
            it is done. ``drop-before`` closes the connection
            before anything is done, ``drop-after`` afterwards. ``slow-before`` and ``slow-after`` wait ``seconds``. ``hold-before`` and
            ``hold-after`` wait until they are released. ``lose`` waits until it is released and then does nothing at all.
        times: How many calls it hits.
    """

    operation: str
    kind: Kind
    times: int = 1
    code: str = "InternalServiceException"
    status: int = 500
    message: str = "made to fail"
    seconds: float = 0.0

    @classmethod
    def read(cls, document: dict[str, Any]) -> CallFault:
        """From JSON.

        Raises:
            ValueError: There is no such fault.
        """
        known = {each.name for each in fields(cls)}
        if not {"operation", "kind"} <= set(document) <= known or document["kind"] not in get_args(Kind):
            raise ValueError(f"a fault has {', '.join(sorted(known))}; kind is one of {', '.join(get_args(Kind))}")
        return cls(**document)


class Dropped(Exception):
    """The connection is to be closed without an answer."""


class Faults:
    """The faults that wait for their calls; for many threads.

    Args:
        throttle: The service's code for too many calls.
    """

    def __init__(self, throttle: str) -> None:
        self._throttle = throttle
        self._waiting: list[CallFault] = []
        self._lock = threading.Lock()
        self._release = threading.Event()
        self.held = 0

    def add(self, fault: CallFault) -> None:
        """Another fault, behind those of the same operation."""
        with self._lock:
            self._release.clear()
            self._waiting.append(fault)

    def clear(self) -> None:
        """No faults, and nobody waits any longer."""
        with self._lock:
            self._waiting.clear()
        self.release()

    def release(self) -> None:
        """Lets those go on that are held."""
        self._release.set()

    def around(self, operation: str, act: Callable[[], Any]) -> Any:
        """Does what a call asks for, with the next fault of its operation.

        Raises:
            Fault: The fault is an error.
            Dropped: The fault closes the connection.
        """
        fault = self._next(operation)
        if fault is None:
            return act()
        self._before(fault)
        result = act()
        if fault.kind == "drop-after":
            raise Dropped
        if fault.kind == "error-after":
            raise Fault(fault.code, fault.message, fault.status)
        if fault.kind == "slow-after":
            self._release.wait(fault.seconds)
        if fault.kind == "hold-after":
            self._hold()
        return result

    def _before(self, fault: CallFault) -> None:
        if fault.kind == "throttle":
            raise Fault(self._throttle, "slow down", 429)
        if fault.kind == "error":
            raise Fault(fault.code, fault.message, fault.status)
        if fault.kind == "drop-before":
            raise Dropped
        if fault.kind == "slow-before":
            self._release.wait(fault.seconds)
        if fault.kind in {"hold-before", "lose"}:
            self._hold()
        if fault.kind == "lose":
            raise Dropped

    def _next(self, operation: str) -> CallFault | None:
        with self._lock:
            for fault in self._waiting:
                if fault.operation == operation:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                    return fault
        return None

    def _hold(self) -> None:
        with self._lock:
            self.held += 1
        self._release.wait(_HELD_AT_MOST)
        with self._lock:
            self.held -= 1
