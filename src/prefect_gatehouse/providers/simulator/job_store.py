"""Local simulators as a durable service: a job is a folder with a sealed payload, and a sealed result once it has run.

Submitting writes the payload once and returns at once; the job runs when its result is first asked for. A process that dies in
between leaves a job that is found by its key; once its result is stored it never runs again. Everything that is written begins with
the job's handle, sealed: a file that was moved to another job is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

from prefect_gatehouse.errors import Ambiguous, JobFailed, StorageError, Tampered
from prefect_gatehouse.files import replace_file
from prefect_gatehouse.providers.interface import JobResult, JobStatus, Progress
from prefect_gatehouse.store.sealer import Sealer
from prefect_gatehouse.workload.counts import Counts

Execute = Callable[[bytes, int, Progress], Sequence[Counts]]
"""Runs a payload with a seed and reports progress."""


class JobStore:
    """The jobs of one run at one local simulator.

    Args:
        folder: The run's folder.
        backend: Name of the simulator; part of the handle.
        sealer: Encrypts what is written.
    """

    def __init__(self, folder: Path, backend: str, sealer: Sealer) -> None:
        self._folder = folder
        self._backend = backend
        self._sealer = sealer

    def handle_of(self, key: str) -> str:
        """The handle that a key's job has."""
        return f"{self._backend}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"

    def submit(self, payload: bytes, key: str) -> str:
        """Writes the job; a second call with the same key and bytes changes nothing.

        Raises:
            Ambiguous: The key has a job with other bytes.
            StorageError: The disk can't be used.
        """
        handle = self.handle_of(key)
        folder = self._folder / handle
        try:
            if (folder / "payload").exists():
                if self._read(folder / "payload") != payload:
                    raise Ambiguous("the key has a job with another payload", where=handle, advice="run: gatehouse verify")
                return handle
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _storage(error) from None
        self._write(folder / "payload", payload)
        return handle

    def find(self, key: str) -> str | None:
        """The handle of a key's job, None if there is none."""
        handle = self.handle_of(key)
        return handle if (self._folder / handle / "payload").exists() else None

    def result(self, handle: str, execute: Execute, progress: Progress | None) -> JobResult:
        """The job's result; runs it if it has not run.

        Raises:
            JobFailed: There is no such job, or the simulator failed.
            Tampered: What is stored is not this job's.
        """
        folder = self._place(handle)
        stored = folder / "result"
        started = time.monotonic()
        try:
            if stored.exists():
                counts = json.loads(self._read(stored))
            else:
                payload = self._read(folder / "payload")
                seed = int.from_bytes(hashlib.sha256(handle.encode()).digest()[:4], "big") >> 1
                counts = [dict(item) for item in execute(payload, seed, progress or (lambda done, total: None))]
                self._write(stored, json.dumps(counts).encode())
        except FileNotFoundError:
            raise JobFailed("the simulator has no such job", where=self._backend, job_id=handle, advice="start a new run") from None
        except OSError as error:
            raise _storage(error) from None
        return JobResult(tuple(counts), 0.0, time.monotonic() - started, b"", Decimal(0))

    def status(self, handle: str) -> JobStatus:
        """Ready where the job is there."""
        return JobStatus("ready" if (self._place(handle) / "payload").exists() else "failed")

    def cancel(self, handle: str) -> bool:
        """Forgets a job that has not run; True if there was one."""
        folder = self._place(handle)
        waiting = (folder / "payload").exists() and not (folder / "result").exists()
        return waiting and not self.delete(handle)

    def delete(self, handle: str) -> str:
        """Removes the job; empty if gone, otherwise why not."""
        try:
            shutil.rmtree(self._place(handle))
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"the simulator's copy can't be removed ({error.strerror})"
        return ""

    def _place(self, handle: str) -> Path:
        """A job's folder; a handle comes from a database and must not lead elsewhere."""
        if not re.fullmatch(re.escape(self._backend) + "-[0-9a-f]{24}", handle):
            raise Tampered("this is no handle of this simulator", where=self._backend, advice="run: gatehouse verify")
        return self._folder / handle

    def _read(self, path: Path) -> bytes:
        owner, _, data = self._sealer.open(path.read_bytes()).partition(b"\n")
        if owner.decode("ascii", "replace") != f"{path.parent.name}/{path.name}":
            raise Tampered("a stored file is not this job's", where=self._backend, advice="run: gatehouse verify")
        return data

    def _write(self, path: Path, data: bytes) -> None:
        try:
            replace_file(path, self._sealer.seal(f"{path.parent.name}/{path.name}\n".encode() + data))
        except OSError as error:
            raise _storage(error) from None


def _storage(error: OSError) -> StorageError:
    return StorageError(f"the simulator's job store can't be used: {error.strerror}", where="simulator", advice="free space, then resume the run")
