"""A desk at the emulator of IBM Quantum: the provider with a lease, a run's key and a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.ibm.backend import IBMBackend
from prefect_gatehouse.providers.ibm.provider import IBMProvider
from prefect_gatehouse.providers.interface import Connection, JobResult
from prefect_gatehouse.secrets.lease import CredentialLease, SecretText
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.testing import IBMEmulator
from prefect_gatehouse.workload.batch import CircuitBatch
from tests.support.circuit_lists import batch_of


def lease_of(credential: str, purpose: Purpose = Purpose.SUBMIT) -> CredentialLease:
    """A lease of a credential, as gate 6 gives it."""
    return CredentialLease(purpose, "secret/ibm", SecretText(credential), environment="local", tenant="t")


class IBMDesk:
    """One run at the machine.

    Args:
        folder: Of this host: two hosts have two.
        emulator: The service.
        more: Settings.
    """

    def __init__(self, folder: Path, emulator: IBMEmulator, **more: Any) -> None:
        self.labels: dict[str, str] = {}
        self.emulator, self.folder, self.settings = emulator, folder, emulator.settings(**more)
        self.lease = lease_of(emulator.credential)

    def backend(self, **more: Any) -> IBMBackend:
        """An object of its own at every call, as every process has."""
        sealer = RunKeys(self.folder / "keys").obtain("run").sealer()
        found = IBMProvider().connect("torino", Connection(self.folder / "spool", sealer, self.settings | more, lambda: self.labels))
        assert isinstance(found, IBMBackend)
        return found

    def submit(self, circuits: Sequence[object] | CircuitBatch, key: str = "run:0:0:0", shots: int = 50) -> str:
        backend = self.backend()
        return backend.submit(backend.encode(batch_of(circuits), shots), key, self.lease)

    def ready(self, handle: str) -> JobResult:
        """The result, once the job has ended."""
        self.emulator.wait(lambda state: all(job["status"] not in {"Queued", "Running"} for job in state["jobs"] if job["id"] == handle))
        return self.backend().result(handle, self.lease)

    def run(self, *circuits: object, key: str = "run:0:0:0", shots: int = 50) -> tuple[dict[str, int], ...]:
        return tuple(dict(counts) for counts in self.ready(self.submit(circuits, key, shots)).counts)
