"""Dry runs in forked children, each killed at its n-th look at a file below its temporary folder; prints what keys it had made.

Arguments: settings as JSON, the manifest, the temporary folder, and at how many moments to kill.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from prefect_gatehouse.operate import dry_run
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.validation.gx_import import registry


def child(settings: Settings, manifest: Path, folder: Path, fatal: int, pipe: int, where: str) -> None:
    """One dry run; the pipe gets each key as it is made, and at the end how many steps there were."""
    steps, real = 0, secrets.token_bytes

    def token_bytes(size: int | None = None) -> bytes:
        made = real(size)
        if size == 32:  # a key; names and nonces are shorter
            os.write(pipe, made.hex().encode() + b"\n")
        return made

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        if event in ("open", "os.rename", "os.remove", "os.link") and str(arguments[0]).startswith(str(folder)):
            steps += 1
            if steps == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    if where == "disk":
        dry_run._DryAttempt.run_keys = property(lambda self: RunKeys(self.settings.folder("run-keys")))  # type: ignore[assignment]
    tempfile.tempdir = str(folder)
    secrets.token_bytes = token_bytes
    sys.addaudithook(look)
    dry_run.dry_run_plan(settings, manifest, lambda what: lambda done, total: None)
    os.write(pipe, f"steps {steps}\n".encode())


def one(settings: Settings, manifest: Path, folder: Path, fatal: int, where: str) -> dict[str, Any]:
    """What came of one child: whether it was killed, its keys and steps, and a copy of what it left, which the next one removes."""
    out, pipe = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(settings, manifest, folder, fatal, pipe, where)
        finally:
            os._exit(0)
    os.close(pipe)
    with os.fdopen(out) as stream:
        lines = stream.read().split("\n")[:-1]
    killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    copy = shutil.copytree(folder, folder.with_name(f"copy-{secrets.token_hex(4)}"))
    keys = [line for line in lines if not line.startswith("steps")]
    steps = next((int(line.split()[1]) for line in lines if line.startswith("steps")), 0)
    return {"where": where, "killed": killed, "keys": keys, "steps": steps, "left": len(list(folder.iterdir())), "copy": str(copy)}


def main() -> None:
    """A whole run; one killed at each of so many moments of it; a whole one again; one killed whose key is on the disk. A line of JSON each."""
    settings, manifest, folder, count = Settings.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    registry()  # imported once, before the children
    never = 1 << 30
    whole = one(settings, manifest, folder, never, "memory")
    print(json.dumps(whole), flush=True)
    moments = [1 + (whole["steps"] - 1) * part // (count - 1) for part in range(count)]
    for fatal, where in (*((moment, "memory") for moment in moments), (never, "memory"), (moments[-2], "disk")):
        print(json.dumps(one(settings, manifest, folder, fatal, where)), flush=True)


if __name__ == "__main__":
    main()
