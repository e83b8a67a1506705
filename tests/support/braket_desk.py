"""A desk at the emulator of Amazon Braket: the provider with a lease, a run's key and a bucket of its own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.braket.backend import BraketBackend
from prefect_gatehouse.providers.braket.provider import BraketProvider
from prefect_gatehouse.providers.interface import Connection, JobResult
from prefect_gatehouse.secrets.lease import CredentialLease, SecretText
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.testing import BraketEmulator
from tests.support.circuit_lists import batch_of


def lease_of(credential: str, purpose: Purpose = Purpose.SUBMIT) -> CredentialLease:
    """A lease of a credential, as gate 6 gives it."""
    return CredentialLease(purpose, "secret/aws", SecretText(credential), environment="local", tenant="t")


class BraketDesk:
    """One run at one device."""

    def __init__(self, folder: Path, emulator: BraketEmulator, settings: dict[str, Any] | None = None, **more: Any) -> None:
        if settings is None:
            bucket = f"results-{uuid.uuid4()}"
            emulator.create_bucket(bucket)
            settings = emulator.settings(bucket, **more)
        self.emulator, self.folder, self.settings = emulator, folder, settings
        self.lease = lease_of(emulator.credential)

    def backend(self, **more: Any) -> BraketBackend:
        """An object of its own at every call, as every process has."""
        sealer = RunKeys(self.folder / "keys").obtain("run").sealer()
        found = BraketProvider().connect("garnet-eu", Connection(self.folder / "spool", sealer, self.settings | more, lambda: {"run": "run"}))
        assert isinstance(found, BraketBackend)
        return found

    def submit(self, circuits: Sequence[object], key: str = "run:0:0:0", shots: int = 50) -> str:
        backend = self.backend()
        return backend.submit(backend.encode(batch_of(circuits), shots), key, self.lease)

    def ready(self, handle: str) -> JobResult:
        """The result, once the task has ended."""
        self.emulator.wait(lambda state: all(task["status"] not in {"QUEUED", "RUNNING"} for task in state["tasks"] if task["arn"] == handle))
        return self.backend().result(handle, self.lease)

    def run(self, *circuits: object, key: str = "run:0:0:0", shots: int = 50) -> tuple[dict[str, int], ...]:
        return tuple(dict(counts) for counts in self.ready(self.submit(circuits, key, shots)).counts)
