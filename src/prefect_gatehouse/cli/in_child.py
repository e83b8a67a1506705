"""A command that runs foreign code, in a child process whose end is judged.

A workload that calls ``os._exit(0)``, or replaces the process, would end the command with success and without a word. Nothing in the process
can hold it back, so the command runs in a child, which says when it got that far by itself. The fork comes before the imports: it costs milliseconds.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

_ENDED = "the workload ended the process before there was a plan"
_KILLED = "the process was killed before there was a plan"
_BY_SIGNAL = {
    int(signal.SIGKILL): "often there was not enough memory: run it on fewer rows, or where there is more",
    **dict.fromkeys(map(int, (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)), "look for compiled code that the workload calls"),
}
_INPUT = 2
_SIGNALLED = 128  # as shells tell the death by a signal


def in_child(command: Callable[[], object], *, as_json: bool) -> NoReturn:
    """Runs a command in a child process and ends as it ends; one that goes without saying so is an error.

    Args:
        command: Ends with ``SystemExit``, as click's commands do.
        as_json: Tell the error as JSON.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.close(ours)
        try:
            command()
        finally:
            os.write(theirs, b".")
        raise SystemExit(0)
    os.close(theirs)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to both
    passed_on = []

    def pass_on(number: int, _: object) -> None:
        passed_on.append(number)
        os.kill(child, number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, pass_on)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if select.select([ours], [], [], 0)[0] and os.read(ours, 1):
        raise SystemExit(code if code >= 0 else _SIGNALLED - code)
    if -code not in passed_on:  # whoever sent it knows
        _tell(code, as_json)
    raise SystemExit(_INPUT if code >= 0 else _SIGNALLED - code)


def _tell(code: int, as_json: bool) -> None:
    if code >= 0:
        message, advice = _ENDED, "take os._exit and what replaces the process out of the workload; it returns a frame when it is done"
    else:
        message, advice = f"{_KILLED} (signal {-code})", _BY_SIGNAL.get(-code, "take what sends it out of the workload")
    if as_json:
        sys.stdout.write(
            json.dumps({"error": "input", "message": message, "where": "workload", "advice": advice, "retry": False, "job_id": None}) + "\n"
        )
    else:
        sys.stderr.write(f"error: workload: {message}\n  {advice}\n")
