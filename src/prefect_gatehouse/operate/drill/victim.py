"""A process that drives a run and is killed with SIGKILL while the service holds its call; its order comes as JSON on standard input."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect_gatehouse.errors import Interrupted
from prefect_gatehouse.operate.drill.installation import Installation
from prefect_gatehouse.operate.drill.service import Account, Service

_SECONDS = 90.0  # within which it has imported everything and come to its call


def kill_at_its_call(installation: Installation, service: Service, run_id: str) -> None:
    """Has a process of its own drive the run, and kills it once the service holds a call of its.

    Raises:
        Interrupted: It came to no such call.
    """
    order = {"folder": str(installation.folder), "account": asdict(installation.account), "run": run_id}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(order))
        process.stdin.close()
        until = time.monotonic() + _SECONDS
        while not service.door.state()["held"]:
            if process.poll() is not None or time.monotonic() > until:
                raise Interrupted("the process that was to be killed never made its call", where="drill", advice="report this")
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
        service.door.release()


def main(order: dict[str, Any]) -> None:
    """Takes the run over and drives it."""
    from prefect_gatehouse.flows.rounds import run_rounds

    attempt, approved = Installation(Path(order["folder"]), Account(**order["account"])).known(order["run"])
    run_rounds(attempt, approved)


if __name__ == "__main__":
    main(json.load(sys.stdin))
