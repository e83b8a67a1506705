"""A workload in a process of its own, driven from outside: whatever comes out of it is read as a stranger's."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

from prefect_gatehouse.errors import PlanChanged, Unavailable, WorkloadFailed
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.counts import Counts
from prefect_gatehouse.workload.refusals import unusable
from prefect_gatehouse.workload.rounds import Finished
from prefect_gatehouse.workload.runner import faults, places, table_form
from prefect_gatehouse.workload.runner.channel import Channel, Ended, TooLong
from prefect_gatehouse.workload.runner.interface import Limits, Mechanism, Task
from prefect_gatehouse.workload.runner.wire import Kind, NotInForm, frame

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # No other processes, and sums in one order whatever the number of cores.
    "QISKIT_PARALLEL": "FALSE",
    "LOKY_MAX_CPU_COUNT": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    # Others reserve gigabytes of addresses at once, which the limit would count.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
}
"""The whole environment of a cell."""

_START = "import json, sys; order = json.loads(sys.argv[1])\nfrom prefect_gatehouse.workload.runner.child import main; main(order)"
_READY_SECONDS = 120  # to start an interpreter and import, on a machine that is busy
_PIPE = 1 << 20  # the most that a user may ask for (pipe(7))
_PAGE = 4096
_TEXT = 1 << 25  # bytes of a round's gates and order, without its angles: as Python's objects they take thirty times as much
_SIGNALLED = 128
_SIGNALS = {
    6: "look for compiled code that the workload calls",
    7: "look for compiled code that the workload calls",
    9: "often there was not enough memory: run it on fewer rows, or where there is more",
    11: "look for compiled code that the workload calls, or for memory beyond GATEHOUSE_CELL_MEMORY_MB",
    31: "take system calls of another architecture out of the workload",
}
_SIGXCPU = 24

SPARE_ROOM = 1 << 24
"""Bytes that a workload's files may take in the home of a cell that was started before there was one."""


class Spare:
    """A cell without a workload, which imports meanwhile; it becomes the cell of one workload, or is ended.

    Only a mechanism that puts the workload's files into a home of the process's own has one: the other confines itself to the files that it is given,
    while it has one thread.

    Args:
        mechanism: What makes the process.
        limits: What it may use.

    Raises:
        Unavailable: The process can't be started.
    """

    def __init__(self, mechanism: Mechanism, limits: Limits) -> None:
        self._made = (mechanism.name, limits, places.readable())
        self._process, self._channel = _start(mechanism, limits, self._made[2], SPARE_ROOM, spare=True)
        self._draws = False

    def draw(self, order: bytes) -> None:
        """Has it draw circuits before it is anybody's cell: ``drawing.order`` makes the order, the cell that it becomes has the answer.

        Nothing of a workload's is there before it has drawn, so the drawing is as good as one of this process.
        """
        self._draws = True
        self._channel.queue(frame(Kind.DRAW, order))

    def suits(self, mechanism: Mechanism, limits: Limits, readable: Sequence[Path], room: int) -> bool:
        """Whether it is what would be started."""
        return self._made == (mechanism.name, limits, readable) and 0 < room <= SPARE_ROOM and self._process.poll() is None

    def hand_over(self) -> tuple[subprocess.Popen[bytes], Channel, bool]:
        """The process, which is somebody else's now, and whether the first that it says is what it drew."""
        return self._process, self._channel, self._draws

    def close(self) -> None:
        """Ends it unused."""
        _end(self._process, self._channel)


class Cell:
    """A workload in progress in a cell; a context that ends it on the way out.

    Args:
        mechanism: What makes the process.
        task: What it drives.
        limits: What it may use.
        secret: Folders that it must not be able to read.
        spare: A cell that was started ahead, which becomes this one if it suits, and is ended if not.

    Raises:
        InputError: One of the secret folders lies among those that it reads.
        Unavailable: The process can't be started.
    """

    apart: ClassVar[bool] = True

    def __init__(self, mechanism: Mechanism, task: Task, limits: Limits, secret: Sequence[Path] = (), spare: Spare | None = None) -> None:
        self._mechanism, self._task, self._limits = mechanism, task, limits
        self._started = False  # it was given what it begins with
        self._asked = False  # it was asked for a step, of which nobody has taken the answer
        self._draws = False  # the first that it says is what it drew before it had a workload
        self.drawn: bytes | None = None
        sources = task.workload.sources
        # An installed package is read where it is; of other files it is given those that were digested, in a folder of its own where it has one.
        self._files = {} if task.workload.package is not None else {str(path.relative_to(sources.root)): data for path, data in sources.files.items()}
        self._home = mechanism.home or sources.root
        readable = places.readable(task.workload.package)
        room = sum(_pages(data) for data in self._files.values())
        if spare is not None and not spare.suits(mechanism, limits, readable, room):
            spare.close()
            spare = None
        try:
            places.refuse_secrets(readable, secret)
        except BaseException:
            if spare is not None:
                spare.close()
            raise
        if spare is None:
            self._process, self._channel = _start(mechanism, limits, readable, room)
        else:
            self._process, self._channel, self._draws = spare.hand_over()
        self._closed = False
        self._channel.queue(frame(Kind.LOAD, self._load()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return not self._closed and self._process.poll() is None

    @property
    def suppressed(self) -> int:
        """Lines that the workload wrote; nobody has read them."""
        return self._channel.lines

    def ask(self, counts: Sequence[Counts] | None) -> None:
        """As ``Runner.ask``; for its first step it waits in ``answer`` where the process does not stand yet."""
        assert not self._closed
        if self._asked:
            return
        if self._started:
            self._channel.queue(frame(Kind.COUNTS, json.dumps([dict(each) for each in counts or ()]).encode()))
            self._asked = True
            return
        said = self._channel.says()
        if said == Kind.DRAWN and self._draws:
            with contextlib.suppress(Ended, TooLong, NotInForm):  # whoever waits for its answer is told
                self._take_drawn()
            said = self._channel.says()
        if said == Kind.READY:
            self._begin()

    def answer(self) -> CircuitBatch | Finished:
        """As ``Runner.answer``."""
        try:
            step = self._answer()
        except BaseException:
            self.close()  # nothing can be asked of it any more
            raise
        if isinstance(step, Finished):
            self.close()
        return step

    def advance(self, counts: Sequence[Counts] | None) -> CircuitBatch | Finished:
        """As ``Runner.advance``."""
        self.ask(counts)
        return self.answer()

    def _answer(self) -> CircuitBatch | Finished:
        assert not self._closed
        try:
            if not self._started:
                self._begin()
            self._asked = False
            kind, content = self._channel.receive(self._limits.wall_seconds)
            self._channel.quiet()
            if kind == Kind.CIRCUITS:
                return _batch(content)
            if kind == Kind.FRAME:
                return Finished(table_form.unpack(content))
            if kind == Kind.FAULT:
                raise self._fault(content)
            raise NotInForm
        except TooLong:
            raise self._failed(
                f"the workload computed for more than {self._limits.wall_seconds} s without a round",
                "make it faster, or raise GATEHOUSE_CELL_WALL_SECONDS",
            ) from None
        except NotInForm:
            raise self._failed("what came out of the workload's cell is no answer", "take what writes into the pipe of its cell out of it") from None
        except Ended:
            self._tell_end()

    def close(self) -> None:
        """Ends the process, whatever it does."""
        if self._closed:
            return
        self._closed = True
        _end(self._process, self._channel)

    def _load(self) -> bytes:
        """What to load: the digested bytes themselves, or of an installed package where it is."""
        workload = self._task.workload
        order: dict[str, Any] = {"declared": sorted(self._task.declared), "digest": workload.digest, "home": str(self._home)}
        if workload.package is None:
            order["entrypoint"] = f"{workload.file.relative_to(workload.sources.root)}:{workload.function}"
            order["files"] = [[name, len(data)] for name, data in self._files.items()]
        else:
            order["entrypoint"], order["package"] = workload.entrypoint, str(workload.package)
        return b"".join([json.dumps(order).encode(), b"\n", *self._files.values()])

    def _begin(self) -> None:
        """Hands over parameters and features, once the process says that it has given up everything else."""
        features = table_form.pack(self._task.features())
        self._started = self._asked = True
        try:
            self._take_drawn()
            kind, _ = self._channel.receive(_READY_SECONDS)
        except (Ended, TooLong, NotInForm):
            kind = Kind.FAULT
        if kind != Kind.READY:
            raise Unavailable(
                "the workload's cell did not come to stand", where=self._mechanism.name, advice="see docs/operators.md, The cell; then resume the run"
            )
        self._channel.queue(self._given(features))

    def _take_drawn(self) -> None:
        """Takes what it drew, which it said before anything of the workload was there.

        Raises:
            NotInForm: It said something else.
        """
        if self._draws:
            kind, content = self._channel.receive(_READY_SECONDS)
            if kind != Kind.DRAWN:
                raise NotInForm
            self._draws, self.drawn = False, content

    def _given(self, features: bytes) -> Iterator[bytes]:
        yield from frame(Kind.PARAMETERS, json.dumps(dict(self._task.parameters)).encode())
        yield from frame(Kind.FEATURES, features)

    def _fault(self, content: bytes) -> Exception:
        if content == faults.changed():
            return PlanChanged("the workload's files changed while it was started", where=self._task.workload.file.name, advice="start a new run")
        return faults.error_from(content, self._task.workload, self._task.declared)

    def _tell_end(self) -> NoReturn:
        """The process ended in the middle of a step: by whom, as far as it can be seen."""
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            code = 0
        number = -code if code < 0 else code - _SIGNALLED if code > _SIGNALLED else 0
        if number == _SIGXCPU:
            raise self._failed(
                f"the workload used more than its {self._limits.cpu_seconds} s of processor time",
                "make it faster, or raise GATEHOUSE_CELL_CPU_SECONDS",
            )
        if number:
            raise self._failed(f"the workload's process was killed (signal {number})", _SIGNALS.get(number, "take what sends it out of the workload"))
        raise self._failed("the workload ended its process", "take os._exit and what replaces the process out of the workload")

    def _failed(self, message: str, advice: str) -> WorkloadFailed:
        return WorkloadFailed(message, where=self._task.workload.file.name, advice=advice)


def _start(
    mechanism: Mechanism, limits: Limits, readable: Sequence[Path], room: int, *, spare: bool = False
) -> tuple[subprocess.Popen[bytes], Channel]:
    """Starts a cell's process.

    Args:
        mechanism: What makes it.
        limits: What it may use.
        readable: What it reads.
        room: Bytes of its home.
        spare: Whether it imports before there is a workload.

    Raises:
        Unavailable: It can't be started.
    """
    their_read, our_write = os.pipe()
    our_read, their_write = os.pipe()
    with contextlib.suppress(OSError):  # room for the files of most workloads, so that the process can go on before anybody waits for it
        fcntl.fcntl(our_write, fcntl.F_SETPIPE_SZ, _PIPE)
        fcntl.fcntl(our_read, fcntl.F_SETPIPE_SZ, _PIPE)  # and for most answers, which nobody waits for yet
    order = {
        "pipe": [their_read, their_write],
        "cell": mechanism.name,
        "parent": os.getpid(),
        "readable": [str(path) for path in readable],
        "path": [str(places.PACKAGES)],
        "limits": vars(limits),
        "placed": mechanism.home is not None,
        "spare": spare,
    }
    inside = [sys.executable, "-s", "-P", "-c", _START, json.dumps(order)]
    try:
        process = subprocess.Popen(
            mechanism.command(inside, readable, limits, room),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(their_read, their_write),
            env=dict(ENVIRONMENT),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        os.close(our_read)
        os.close(our_write)
        raise Unavailable(
            f"a cell can't be started: {os.strerror(error.errno or 0)}", where=mechanism.name, advice="look at the machine, then resume the run"
        ) from None
    finally:
        os.close(their_read)
        os.close(their_write)
    return process, Channel(process, our_write, our_read)


def _end(process: subprocess.Popen[bytes], channel: Channel) -> None:
    """Ends a cell's process, whatever it does."""
    # All of its session: bubblewrap is two processes, and the inner one, until it is told to go on, waits for ever for an outer one that is gone.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    channel.close()


def _pages(data: bytes) -> int:
    """Bytes that a file takes in a file system in memory, its name with it."""
    return -(-len(data) // _PAGE) * _PAGE + _PAGE


def _batch(content: bytes) -> CircuitBatch:
    """A round's circuits.

    Raises:
        NotInForm: They are in no plain form.
        UnusableAnswer: There are more gates than can be read.
    """
    end = 0
    for _ in range(4):
        end = content.find(b"\n", end) + 1
        if not end:
            raise NotInForm
    if end > _TEXT:
        raise unusable("no-round")
    try:
        batch, shots = plain_form.read(content)
    except plain_form.Malformed:
        raise NotInForm from None
    if shots != 1:
        raise NotInForm
    return batch
