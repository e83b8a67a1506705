"""The warm process: it has imported what runs import, opens nothing, and forks one child for each run, clean each time.

It holds no secret, no connection and no thread: what a child inherits is code. The worker, which talks to Prefect's API, is another process; the
two have one socket. When the worker dies, the warm process tells the runs to stop, waits for them, and ends; when the warm process dies, Linux
tells them itself: no run goes on that nobody sees.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

from prefect_gatehouse.value import build_models
from prefect_gatehouse.worker.configuration import WorkerConfiguration
from prefect_gatehouse.worker.protocol import ORDER, Answer, Drive, NoteCrash, Setup, Stop

_GRACE_SECONDS = 30.0
"""What a run has to release what it holds, from being told to stop to being killed; as long as Prefect's own worker gives it."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


class Warm:
    """The loop of the warm process.

    Args:
        channel: The socket to the worker.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = b""
        self._children: dict[int, int] = {}  # process -> order
        self.configuration: WorkerConfiguration | None = None
        self._woken, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, so that the descriptor below is written to
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)

    def serve(self) -> Drive | NoteCrash | None:
        """Forks until the worker is gone.

        Returns:
            In a child what it is to do; in the warm process itself None.
        """
        while True:
            ready, _, _ = select.select([self._channel, self._woken], [], [])
            if self._woken in ready:
                self._woken.recv(4096)
                self._reap()
            if self._channel in ready:
                data = self._channel.recv(1 << 16)
                if not data:
                    self._stop_all()
                    return None
                self._buffer += data
                while b"\n" in self._buffer:
                    line, self._buffer = self._buffer.split(b"\n", 1)
                    mine = self._take(ORDER.validate_json(line))
                    if mine is not None:
                        return mine

    def _take(self, order: Drive | NoteCrash | Stop | Setup) -> Drive | NoteCrash | None:
        match order:
            case Setup():
                self.configuration = order.configuration
            case Stop():
                for pid, number in self._children.items():
                    if number == order.number:
                        _signal(pid, signal.SIGKILL if order.hard else signal.SIGTERM)
            case Drive() | NoteCrash():
                return order if self._fork(order.number) else None
        return None

    def _fork(self, number: int) -> bool:
        """Whether this is the child."""
        if threading.active_count() > 1:
            raise RuntimeError("a thread was started in the warm process: a fork would inherit its locks")
        warm = os.getpid()
        pid = os.fork()
        if pid:
            self._children[pid] = number
            with suppress(OSError):
                os.setpgid(pid, pid)
            self._say(Answer(number=number, pid=pid))
            return False
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._channel, self._woken, self._wakes):
            inherited.close()
        os.setpgid(0, 0)
        _die_with(warm)
        return True

    def _reap(self) -> None:
        for pid in list(self._children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                number = self._children.pop(pid)
                self._say(Answer(number=number, pid=pid, ended=os.waitstatus_to_exitcode(status)))

    def _say(self, answer: Answer) -> None:
        with suppress(OSError):  # the worker is gone; the next read tells
            self._channel.sendall(answer.model_dump_json().encode() + b"\n")

    def _stop_all(self) -> None:
        for pid in self._children:
            _signal(pid, signal.SIGTERM)
        until = time.monotonic() + _GRACE_SECONDS
        while self._children and time.monotonic() < until:
            self._reap()
            time.sleep(0.05)
        for pid in self._children:
            _signal(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)


def _signal(pid: int, number: signal.Signals) -> None:
    """To the run's process alone, which stops in order; the hard one to everything that it started."""
    with suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def _call_it(run_id: str) -> None:
    """Has ``ps`` and ``top`` show which run a process drives: ``gh-`` and the first characters of the run, as many as Linux takes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"gh-{run_id}".encode()[:15], 0, 0, 0)


def _die_with(parent: int) -> None:
    """Has Linux tell this process to stop when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it died before that
        os._exit(1)


def _import_everything() -> None:
    """What runs import, once; nothing here starts a thread or opens a connection."""
    import anyio._backends._asyncio  # noqa: F401
    import cedarpy  # noqa: F401
    import prefect.concurrency.services
    import prefect.task_engine
    import prefect.utilities.visualization  # noqa: F401
    import pyarrow.pandas_compat  # noqa: F401
    import qiskit.circuit.library  # noqa: F401
    import qiskit_aer  # noqa: F401
    import sqlalchemy.dialects.sqlite  # noqa: F401

    import prefect_gatehouse.evidence.ship.openlineage
    import prefect_gatehouse.policy.cedar
    import prefect_gatehouse.providers.simulator.aer
    import prefect_gatehouse.providers.simulator.provider
    import prefect_gatehouse.worker.driving  # noqa: F401


def _child(configuration: WorkerConfiguration, order: Drive | NoteCrash) -> NoReturn:
    import numpy as np

    from prefect_gatehouse.worker.driving import drive, note_crash

    code: int | str | None = 1
    _call_it(order.run_id)
    try:
        np.random.seed()
        if isinstance(order, Drive):
            drive(configuration, order)
        else:
            note_crash(order)
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    except BaseException as error:  # noqa: BLE001 - a traceback could hold data
        sys.stderr.write(f"the process of a run ended by {type(error).__name__}\n")
    finally:
        # Prefect's logs and events are sent from threads of its own; what is registered to run at an interpreter's end waits for them. The forks
        # of multiprocessing leave in the same way.
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1 if code else 0)


def main() -> None:
    """Imports, says so, and forks until the worker is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(channel.fileno(), False)
    _import_everything()
    build_models()
    warm = Warm(channel)
    gc.collect()
    gc.freeze()  # a child that collects does not copy what it inherited
    channel.sendall(Answer(number=0, pid=os.getpid()).model_dump_json().encode() + b"\n")
    order = warm.serve()
    if order is not None:
        assert warm.configuration is not None  # the worker's first line
        _child(warm.configuration, order)


if __name__ == "__main__":
    main()
