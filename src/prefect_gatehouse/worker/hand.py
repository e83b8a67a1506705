"""The worker's hand on the warm process: starts it, asks it for forks, and hears how they end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import ValidationError

from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.value import Value
from prefect_gatehouse.worker.configuration import WorkerConfiguration
from prefect_gatehouse.worker.protocol import Answer, Setup, Stop
from prefect_gatehouse.workload.hashing import SEED

_LOST = 1
"""The exit code of a process whose end nobody could tell, because the warm process died."""
_CLOSE_SECONDS = 40.0


@dataclass
class Forked:
    """A process that the warm one forked.

    Attributes:
        number: The order's.
        pid: Known when the process is there.
        ended: Its exit code, or the signal as a negative number.
    """

    number: int
    pid: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Hand:
    """One warm process, started again should it die.

    Args:
        configuration: What the worker was told at its start.
        environment: The whole environment of the runs' processes.
        on_ready: Called when the warm process is.
    """

    def __init__(self, configuration: WorkerConfiguration, environment: Mapping[str, str], on_ready: Callable[[], None]) -> None:
        self._configuration = configuration
        self._environment = dict(environment)
        self._on_ready = on_ready
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._lock = asyncio.Lock()
        self._forks: dict[int, Forked] = {}
        self._count = 0
        self._closing = False

    async def start(self) -> None:
        """Starts the warm process, if there is none; it is ready some seconds later.

        Raises:
            Unavailable: The worker is stopping.
        """
        if self._closing:
            raise Unavailable("the worker is stopping", where="worker", advice="start it again")
        async with self._lock:
            if self._listening is not None and not self._listening.done():
                return
            self._ready = asyncio.Event()
            ours, theirs = socket.socketpair()
            try:
                # -P: the working directory is no place to import from. A session of its own: Ctrl-C reaches the worker alone, which tells the runs.
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "prefect_gatehouse.worker.warm", str(theirs.fileno())),
                    env={**self._environment, "PYTHONHASHSEED": SEED},
                    cwd=os.sep,
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            reader, self._writer = await asyncio.open_unix_connection(sock=ours)
            self._send(Setup(configuration=self._configuration))
            self._listening = asyncio.create_task(self._listen(reader))

    async def fork(self, number: int, order: Value) -> Forked:
        """Has a process forked.

        Raises:
            Unavailable: The warm process does not start.
        """
        await self.start()
        assert self._listening is not None
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, self._listening}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self._ready.is_set():
            raise Unavailable("the worker's warm process does not start", where="worker", advice="look at the worker's log")
        forked = self._forks[number] = Forked(number)
        self._send(order)
        await asyncio.wait({forked.pid, forked.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not forked.pid.done():
            raise Unavailable("the worker's warm process died", where="worker", advice="look at the worker's log; resume the run")
        return forked

    def number(self) -> int:
        """A new order's number."""
        self._count += 1
        return self._count

    def stop(self, forked: Forked, *, hard: bool = False) -> None:
        """Tells a process to stop, or ends it with all that it started."""
        with suppress(OSError, RuntimeError):
            self._send(Stop(number=forked.number, hard=hard))

    async def close(self) -> None:
        """Lets go: the warm process tells the runs to stop, waits for them, and ends."""
        self._closing = True
        if self._writer is not None:
            with suppress(OSError):
                self._writer.write_eof()  # our half: how the runs end is still heard
        if self._process is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _CLOSE_SECONDS)
        if self._listening is not None:
            await asyncio.wait({self._listening}, timeout=1)
            self._listening.cancel()
        if self._writer is not None:
            self._writer.close()

    def _send(self, line: Value) -> None:
        assert self._writer is not None  # started
        self._writer.write(line.model_dump_json().encode() + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._hear(Answer.model_validate_json(line))
        except (OSError, ValidationError):
            pass  # the warm process is gone, or broken: below, the same
        finally:
            for forked in self._forks.values():
                if not forked.ended.done():
                    forked.ended.set_result(_LOST)
            self._forks.clear()

    def _hear(self, answer: Answer) -> None:
        if answer.number == 0:
            self._ready.set()
            self._on_ready()
            return
        forked = self._forks.get(answer.number)
        if forked is None:
            return
        if not forked.pid.done():
            forked.pid.set_result(answer.pid)
        if answer.ended is not None:
            del self._forks[answer.number]
            if not forked.ended.done():
                forked.ended.set_result(answer.ended)
