"""What ``gatehouse demo --ui`` tells whoever sits before it: where to look, how to approve, and when it ends."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_gatehouse.cli.output import console

if TYPE_CHECKING:
    from prefect_gatehouse.settings import Settings


def page(run_id: str) -> str:
    """The run's page in the Prefect UI."""
    return f"{os.environ['PREFECT_API_URL'].rstrip('/').removesuffix('/api')}/v2/runs/flow-run/{run_id}"


def command_line(settings: Settings, **more: str) -> str:
    """The command as it can be pasted into another terminal: with the demo's home, and its whole path where it is not on the caller's."""
    beside = Path(sys.executable).with_name("gatehouse")
    command = str(beside) if shutil.which("gatehouse") is None and beside.exists() else "gatehouse"
    return " ".join([*(f"{name}={value}" for name, value in more.items()), f"GATEHOUSE_HOME={settings.home}", command])


def print_ways(settings: Settings, approver: Settings, person: str, run_id: str, decided: threading.Event, *, err: bool) -> None:
    """Prints the three ways to approve, and one-time codes until the run is decided.

    Args:
        settings: The demo's.
        approver: The approver's: another identity.
        person: The approver's identifier.
        run_id: The run that waits.
        decided: Set when no more codes are needed.
        err: Print to standard error.
    """
    from prefect_gatehouse.identity.people import People

    api = os.environ["PREFECT_API_URL"]
    secret = People(settings.people_folder()).totp_secret(person) or ""
    line = command_line(settings, PREFECT_API_URL=api, GATEHOUSE_IDENTITY=str(approver.identity_key()))
    body = json.dumps({"run_input": {"decision": "approve", "approver": person, "proof": "CODE"}})
    post = f"curl -X POST {api}/flow_runs/{run_id}/resume -H 'content-type: application/json' -d '{body}'"
    out = console(err=err)
    for text in (
        f"\nThe run is suspended. Open {page(run_id)}",
        "Approve it in one of three ways:\n",
        f"1. In the form: menu, Resume; approver {person}, and the current code below.",
        f"2. On a command line:\n   {line} approve {run_id}",
        f"3. By REST, with the current code in place of CODE:\n   {post}\n",
    ):
        out.print(text, markup=False, soft_wrap=True)
    threading.Thread(target=_print_codes, args=(secret, person, decided, err), daemon=True).start()


def _print_codes(secret: str, person: str, decided: threading.Event, err: bool) -> None:
    """The demo approver's authenticator app."""
    from prefect_gatehouse.identity.totp import STEP_SECONDS, code_at

    raw = base64.b32decode(secret)
    while not decided.is_set():
        step = int(time.time()) // STEP_SECONDS
        console(err=err).print(f"one-time code of {person}: {code_at(raw, step)}   (Ctrl-C ends the demo)", markup=False)
        decided.wait((step + 1) * STEP_SECONDS - time.time() + 0.1)


def stay(settings: Settings, run_id: str, say: Callable[[str], None]) -> None:
    """Keeps the server, so that somebody can look at the run, until Ctrl-C: the demo's end, and no error."""
    say(f"\nThe run's page: {page(run_id)}\nIts gates:      {command_line(settings)} show {run_id}")
    say("Both stay until you press Ctrl-C, which stops what the demo started.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
