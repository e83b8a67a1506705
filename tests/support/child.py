"""A warm process that forks one child for each order it reads, so that a death costs no three seconds of imports.

A child does what gate 7 and gate 8 do with one job: intent, look for the key, submit, handle, poll, download, store. Its journal is a file.
An order says at which moment it dies; where the moment lies inside a call, whoever gave the order kills it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MakeDesk = Callable[[dict[str, Any]], Any]
"""A provider's desk, as an order describes it."""


def drive(order: dict[str, Any], make_desk: MakeDesk) -> None:
    """One process's attempt at the job."""
    from tests.providers.circuits import flipped
    from tests.support.circuit_lists import batch_of

    def moment(name: str) -> None:
        if order.get("dies") == name:
            os.kill(os.getpid(), signal.SIGKILL)

    journal = Path(order["journal"])
    desk = make_desk(order)
    backend, key = desk.backend(), order["key"]
    payload = backend.encode(batch_of([flipped(3, 0), flipped(3, 2)]), 20)
    moment("before-intent")
    known = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    if not known:
        _append(journal, {"intended": time.time()})
    moment("after-intent")
    handle = next((line["handle"] for line in known if "handle" in line), None)
    if handle is None:
        handle = backend.find_by_key(key, desk.lease)
        waited = time.time() - known[0]["intended"] if known else 0.0
        if handle is None and known and waited < backend.facts(desk.lease).grace_seconds:
            time.sleep(backend.facts(desk.lease).grace_seconds - waited)
            handle = backend.find_by_key(key, desk.lease)
        if handle is None:
            handle = backend.submit(payload, key, desk.lease)
        moment("after-answer")
        _append(journal, {"handle": handle})
    while backend.status(handle, desk.lease).state in {"queued", "running"}:
        moment("polling")
        time.sleep(0.05)
    moment("downloading")
    counts = [dict(each) for each in backend.result(handle, desk.lease).counts]
    moment("storing")
    _append(journal, {"counts": counts})


def _append(journal: Path, line: dict[str, Any]) -> None:
    with journal.open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def serve(make_desk: MakeDesk, warm: Callable[[], None]) -> None:
    """Reads orders until nobody gives any.

    Args:
        make_desk: The provider's.
        warm: Does what every child would do again: imports, and the models of the services.
    """
    warm()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children; the orders' giver asks whether they live
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                drive(order, make_desk)
                code = 0
            finally:
                Path(order["ended"]).write_text(str(code))
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
