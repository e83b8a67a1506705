"""``gatehouse`` commands in processes of their own, forked from a warm one: what they do is tested, not what importing it all again costs.

Run as a module it is the warm process: each order is a message with the arguments, environment and folder of one command, and the descriptors
of its output and its errors, and of where its end is told. A command has its own environment, its own signals and its own end. What only
a cold process shows - what an import prints, changes or costs - is for tests that start one.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

_ROOT = Path(__file__).resolve().parents[2]
_LARGEST = 1 << 20


class Running:
    """One command at work.

    Attributes:
        stdout: What it prints, with its errors if they were merged.
    """

    def __init__(self, stdout: IO[str], stderr: IO[str] | None, told: IO[str]) -> None:
        self.stdout, self._stderr, self._told = stdout, stderr, told

    def end(self) -> subprocess.CompletedProcess[str]:
        """All that it still prints, and its exit code, as ``subprocess`` gives it."""
        with self.stdout, self._told:
            # Errors first would wait for an end that waits for its reader; they are few, and fit into the pipe.
            out = self.stdout.read()
            err = ""
            if self._stderr is not None:
                with self._stderr:
                    err = self._stderr.read()
            return subprocess.CompletedProcess([], int(self._told.read()), out, err)


class WarmCommands:
    """The warm process."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.support.warm_commands", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        assert self._channel.recv(1) == b"."

    def start(self, *words: str | Path, environment: Mapping[str, str], merged: bool = False) -> Running:
        """Starts a command.

        Args:
            words: Its arguments.
            environment: All of its environment.
            merged: Its errors go where its output goes.
        """
        out, their_out = os.pipe()
        told, their_told = os.pipe()
        err, their_err = (None, os.dup(their_out)) if merged else os.pipe()
        order = {"words": [str(word) for word in words], "environment": dict(environment), "folder": str(Path.cwd())}
        theirs = [their_out, their_err, their_told]
        try:
            socket.send_fds(self._channel, [json.dumps(order).encode()], theirs)
        finally:
            for each in theirs:
                os.close(each)
        return Running(os.fdopen(out), None if err is None else os.fdopen(err), os.fdopen(told))

    def run(self, *words: str | Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """A command from its start to its end."""
        return self.start(*words, environment=environment).end()

    def stop(self) -> None:
        """Ends the warm process."""
        self._channel.close()
        self._process.kill()
        self._process.wait()


def _become(order: dict[str, Sequence[str] | dict[str, str] | str], descriptors: Sequence[int]) -> NoReturn:
    """The command, up to its end."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, each in enumerate((nothing, *descriptors[:2])):
        os.dup2(each, number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(order["environment"])  # type: ignore[arg-type]
    os.chdir(str(order["folder"]))
    sys.argv = ["gatehouse", *order["words"]]  # type: ignore[list-item]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    from prefect.context import refresh_global_settings_context

    from prefect_gatehouse.cli.main import main

    refresh_global_settings_context()
    code = 0
    try:
        main(prog_name="gatehouse")
    except SystemExit as end:
        code = int(end.code or 0)
    # All that an interpreter does at its end but for freeing each object of all that is imported, which takes longer than most commands.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _warm() -> None:
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    import great_expectations  # noqa: F401
    import qiskit.circuit.library  # noqa: F401
    import qiskit_aer  # noqa: F401

    import prefect_gatehouse.flows.governed_pipeline
    import prefect_gatehouse.operate.dry_run  # noqa: F401
    from prefect_gatehouse.validation import gx_import  # noqa: F401

    gc.freeze()  # a child's collections would copy every page of it


def _serve(channel: socket.socket) -> None:
    _warm()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch
    channel.sendall(b".")
    while True:
        told, descriptors, _, _ = socket.recv_fds(channel, _LARGEST, 3)
        if not told:
            return
        if not os.fork():
            channel.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            child = os.fork()
            if not child:
                _become(json.loads(told), descriptors)
            for each in descriptors[:2]:
                os.close(each)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(descriptors[2], str(code).encode())
            os._exit(0)
        for each in descriptors:
            os.close(each)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
