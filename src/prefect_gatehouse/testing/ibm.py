"""The emulator of IBM Quantum in a process of its own, for as long as a context lasts.

with ibm_emulator() as ibm:
os.environ.update(ibm.environment)
ibm.fault("create_job", "drop-after")
...
assert len(ibm.jobs()) == 1
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prefect_gatehouse.testing.door import Door, running

MACHINE = "ibm_torino"


@dataclass(frozen=True)
class IBMEmulator(Door):
    """A running emulator."""

    @property
    def credential(self) -> str:
        """An API key that it takes."""
        return self.environment["QISKIT_IBM_TOKEN"]

    @property
    def instance(self) -> str:
        """The instance that it has."""
        return self.environment["QISKIT_IBM_INSTANCE"]

    def settings(self, device: str = MACHINE, **more: Any) -> dict[str, Any]:
        """A block's settings for its machine, with waits that suit a test."""
        brief = {"grace_seconds": 2.0, "call_seconds": 2.0, "patience_seconds": 3.0, "poll_seconds": 0.05}
        return {"device": device, "instance": self.instance, "endpoint": self.url, **brief, **more}

    def device(self, name: str = MACHINE, **more: Any) -> None:
        """Changes the machine: ``status``, ``queue``, fields of its ``configuration``, a new calibration (``properties``)."""
        self._post("device", {"name": name, **more})

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that was made and not deleted."""
        found: list[dict[str, Any]] = self.state()["jobs"]
        return found


@contextmanager
def ibm_emulator(*, noise: bool = True) -> Iterator[IBMEmulator]:
    """Starts an emulator and stops it at the end.

    Args:
        noise: Whether its machine errs as its calibration says.

    Raises:
        Unavailable: It does not start.
    """
    with running("ibm", [] if noise else ["--no-noise"], "ibm") as environment:
        yield IBMEmulator(environment["IAM_URL"], environment)
