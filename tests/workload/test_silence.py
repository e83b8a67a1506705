"""Words of a workload that no redirected stream would catch, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

SILENCED = """
import logging, os, subprocess, sys, warnings
from prefect_gatehouse.workload.silence import silenced
CLOSE
before = logging.root.manager.disable
with silenced():
    print("CANARY")
    os.write(2, b"CANARY") if not CLOSED else None
    subprocess.run(["echo", "CANARY"])
    warnings.warn("CANARY")
    logging.getLogger("x").critical("CANARY")
    print("CANARY", file=sys.__stdout__ or sys.stdout)
assert logging.root.manager.disable == before
print("after")
logging.getLogger("x").critical("after")
"""
IGNORED = """
import threading
from prefect_gatehouse.workload.silence import withhold_ignored_errors

class Loud:
    def __del__(self):
        raise type("CANARY", (ValueError,), {})("CANARY")

def failing():
    raise KeyError("CANARY")

withhold_ignored_errors()
Loud()
thread = threading.Thread(target=failing, name="CANARY")
thread.start()
thread.join()
"""


def output(script: str) -> tuple[str, str]:
    """What a process writes on its two streams."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_nothing_gets_out_in_between() -> None:
    """Streams, their descriptors, child processes, warnings and logs: silent inside, as before afterwards."""
    out, err = output(SILENCED.replace("CLOSE\n", "CLOSED = False\n"))
    assert (out, err) == ("after\n", "after\n")


def test_a_process_without_streams() -> None:
    """A daemon has closed them; that is no reason to fail."""
    output(SILENCED.replace("CLOSE\n", "CLOSED = True\nos.close(1); os.close(2); sys.stdout = sys.stderr = sys.__stdout__ = None\n"))


def test_errors_that_python_can_not_raise_are_told_without_their_text() -> None:
    """Of a finaliser and of a thread, after the workload's turn: the kind only."""
    out, err = output(IGNORED)
    assert out == ""
    assert err.splitlines() == [
        "ValueError in a finaliser was ignored; its text is withheld, it could hold data",
        "KeyError in a thread was ignored; its text is withheld, it could hold data",
    ]
