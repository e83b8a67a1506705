"""The peers' environment, beside the project's own, and the process that measures in it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
TOKENS, PREFECT_QISKIT = "requirements", "prefect_qiskit"
"""The environments, by the names of their requirements."""


def python(requirements: str = TOKENS) -> Path:
    """The interpreter of an environment of peers, which is made or brought up to date first: half a minute, once.

    Args:
        requirements: Which one.

    Raises:
        SystemExit: It can't be made.
    """
    pinned = FOLDER / f"{requirements}.txt"
    environment = FOLDER.parent.parent / (".venv-peers" if requirements == TOKENS else f".venv-peers-{requirements.replace('_', '-')}")
    mark, digest = environment / "ready", hashlib.sha256(pinned.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != digest:
        uv = Path(sys.executable).with_name("uv")
        print(f"making an environment for the peers ({environment.name})", flush=True)
        for command in (
            [str(uv), "venv", "-q", "--clear", "--python", sys.executable, str(environment)],
            [str(uv), "pip", "sync", "-q", "--require-hashes", "--compile-bytecode", str(pinned)],
        ):
            try:
                subprocess.run(command, check=True, env={**os.environ, "VIRTUAL_ENV": str(environment)})
            except (OSError, subprocess.CalledProcessError) as error:
                raise SystemExit(f"the peers' environment can't be made ({error}); run `make .venv/.ready` and see what uv says above") from None
        mark.write_text(digest)
    return environment / "bin" / "python"


class Peers:
    """The long-lived process that runs the peers' jobs.

    Args:
        columns: A Feather file, see ``worker.py``.
    """

    def __init__(self, columns: Path) -> None:
        environment = {**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        command = [str(python()), str(FOLDER / "worker.py"), str(columns)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def seconds(self, job: str, rows: int) -> float:
        """CPU seconds of one job.

        Raises:
            SystemExit: The process has died; what it said stands above.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([job, rows]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SystemExit(f"the peers' process ended at '{job}'") from None
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the peers' process ended at '{job}'")
        return float(json.loads(answer))

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
