"""The warm process: it has imported what runs import, opens nothing, and forks one child for each run, clean each time.

One child is forked ahead, while nobody waits for it. It knows no run: it gets a client and a cell ready, and is told the next run, which it drives
as every child drives its one.

It holds no secret, no connection and no thread: what a child inherits is code. The worker, which talks to Prefect's API, is another process; the
two have one socket. When the worker dies, the warm process tells the runs to stop, waits for them, and ends; when the warm process dies, Linux
tells them itself: no run goes on that nobody sees.
"""

from __future__ import annotations

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

from prefect_gatehouse.run_process import end_process, look_rarely
from prefect_gatehouse.value import build_models
from prefect_gatehouse.worker.configuration import WorkerConfiguration
from prefect_gatehouse.worker.protocol import ORDER, Answer, Drive, NoteCrash, Setup, Stop

_GRACE_SECONDS = 30.0
"""What a run has to release what it holds, from being told to stop to being killed; as long as Prefect's own worker gives it."""
_AHEAD_SECONDS = 5.0
"""How long after a run was given to it the next child is forked ahead, unless that run's process leaves before: what a child gets ready would take
time from the run."""
_AGAIN_SECONDS = 60.0
"""How long after a child that was forked ahead has died."""
_NOBODYS = -1
"""In place of an order's number: a child that took none and is not gone yet."""
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
        self._ahead: tuple[int, socket.socket] | None = None  # forked ahead, and how it is told its run
        self._next = 0.0  # when one is forked, by the monotonic clock
        self.configuration: WorkerConfiguration | None = None
        self._woken, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, so that the descriptor below is written to
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)

    def serve(self) -> Drive | NoteCrash | socket.socket | None:
        """Forks until the worker is gone.

        Returns:
            In a child what it is to do, or, in one that was forked ahead, where it will be told; in the warm process itself None.
        """
        while True:
            ready, _, _ = select.select([self._channel, self._woken], [], [], self._until_next())
            if not ready and self._until_next() == 0 and (told := self._fork_ahead()) is not None:
                return told
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
            case Drive() if self._hand_over(order):
                pass
            case Drive() | NoteCrash():
                return order if self._fork_for(order.number) else None
        return None

    def _until_next(self) -> float | None:
        """Seconds until a child is forked ahead; None where there is one, or nobody knows yet how."""
        if self._ahead is not None or self.configuration is None:
            return None
        return max(0.0, self._next - time.monotonic())

    def _fork_ahead(self) -> socket.socket | None:
        """Forks a child that gets ready; in that child, where it will be told what for."""
        ours, theirs = socket.socketpair()
        pid = self._fork()
        if pid is None:
            ours.close()
            return theirs
        theirs.close()
        self._ahead = pid, ours
        return None

    def _hand_over(self, order: Drive) -> bool:
        """Gives a run to the child that was forked ahead; whether there was one that takes it."""
        if self._ahead is None:
            return False
        (pid, told), self._ahead, self._next = self._ahead, None, time.monotonic() + _AHEAD_SECONDS
        with told:
            try:
                told.sendall(order.model_dump_json().encode() + b"\n")
            except OSError:  # it has died
                self._children[pid] = _NOBODYS
                _signal(pid, signal.SIGKILL)
                return False
        self._children[pid] = order.number
        self._say(Answer(number=order.number, pid=pid))
        return True

    def _fork_for(self, number: int) -> bool:
        """Forks a child for an order; whether this is the child."""
        pid = self._fork()
        if pid is None:
            return True
        self._children[pid] = number
        self._say(Answer(number=number, pid=pid))
        return False

    def _fork(self) -> int | None:
        """The child; None in the child itself."""
        if threading.active_count() > 1:
            raise RuntimeError("a thread was started in the warm process: a fork would inherit its locks")
        warm = os.getpid()
        pid = os.fork()
        if pid:
            with suppress(OSError):
                os.setpgid(pid, pid)
            return pid
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._channel, self._woken, self._wakes, *([self._ahead[1]] if self._ahead else [])):
            inherited.close()
        os.setpgid(0, 0)
        _die_with(warm)
        return None

    def _reap(self) -> None:
        for pid in list(self._children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                number = self._children.pop(pid)
                if number != _NOBODYS:
                    self._next = min(self._next, time.monotonic())  # the run waits, or has ended: there is time to get ready for the next one
                    self._say(Answer(number=number, pid=pid, ended=os.waitstatus_to_exitcode(status)))
        if self._ahead is not None and os.waitpid(self._ahead[0], os.WNOHANG)[0]:
            self._ahead[1].close()
            self._ahead, self._next = None, time.monotonic() + _AGAIN_SECONDS

    def _say(self, answer: Answer) -> None:
        with suppress(OSError):  # the worker is gone; the next read tells
            self._channel.sendall(answer.model_dump_json().encode() + b"\n")

    def _stop_all(self) -> None:
        if self._ahead is not None:  # it has nothing to release
            (pid, told), self._ahead = self._ahead, None
            told.close()
            _signal(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
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


def _call_it(what: str) -> None:
    """Has ``ps`` and ``top`` show which run a process drives: ``gh-`` and the first characters of the run, as many as Linux takes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"gh-{what}".encode()[:15], 0, 0, 0)


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


def _told(channel: socket.socket) -> Drive | None:
    """What the child that was forked ahead is to drive; None where the warm process is gone."""
    with channel:
        line = b""
        while not line.endswith(b"\n"):
            data = channel.recv(1 << 16)
            if not data:
                return None
            line += data
    order = ORDER.validate_json(line)
    return order if isinstance(order, Drive) else None


def _child(configuration: WorkerConfiguration, work: Drive | NoteCrash | socket.socket) -> NoReturn:
    import numpy as np

    from prefect_gatehouse.worker.driving import drive, note_crash, ready

    code: int | str | None = 1
    try:
        np.random.seed()
        if isinstance(work, socket.socket):
            _call_it("ahead")
            with ready():
                order = _told(work)
                if order is not None:
                    _call_it(order.run_id)
                    drive(configuration, order)
        elif isinstance(work, Drive):
            _call_it(work.run_id)
            drive(configuration, work)
        else:
            _call_it(work.run_id)
            note_crash(work)
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    except BaseException as error:  # noqa: BLE001 - a traceback could hold data
        sys.stderr.write(f"the process of a run ended by {type(error).__name__}\n")
    finally:
        end_process(code if isinstance(code, int) else 1 if code else 0)


def main() -> None:
    """Imports, says so, and forks until the worker is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(channel.fileno(), False)
    _import_everything()
    build_models()
    warm = Warm(channel)
    gc.collect()
    look_rarely()  # a child that looks for garbage does not copy what it inherited
    channel.sendall(Answer(number=0, pid=os.getpid()).model_dump_json().encode() + b"\n")
    work = warm.serve()
    if work is not None:
        assert warm.configuration is not None  # the worker's first line
        _child(warm.configuration, work)


if __name__ == "__main__":
    main()
