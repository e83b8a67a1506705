"""The provider of IBM Quantum: a backend is ``ibm/NAME``, where NAME is a block that says which device and instance."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.interface import Backend, Connection, DeviceBlock

_REGION = 5
"""Place of the region in a CRN, its parts between colons: ``crn:v1:bluemix:public:quantum-computing:us-east:a/ACCOUNT:INSTANCE::``."""


def _region(settings: Mapping[str, Json]) -> str:
    parts = str(settings.get("instance") or "").split(":")
    return parts[_REGION] if len(parts) > _REGION else ""


class IBMProvider:
    """Devices of IBM Quantum. Their package is an extra, and loaded when something is asked, not before."""

    block: DeviceBlock | None = DeviceBlock("ibm-device", ("device", "instance", "plan", "endpoint"), _region)

    def devices(self) -> tuple[str, ...]:
        """None is known: an administrator's blocks name them."""
        return ()

    def connect(self, device: str, connection: Connection) -> Backend:
        """A device by the settings of its block."""
        from prefect_gatehouse.providers.ibm.backend import IBMBackend
        from prefect_gatehouse.providers.ibm.place import read_place

        if importlib.util.find_spec("qiskit_ibm_runtime") is None:
            raise InputError("qiskit-ibm-runtime is not installed", where=f"ibm/{device}", advice='install "prefect-gatehouse[ibm]"')
        return IBMBackend(f"ibm/{device}", read_place(device, connection.settings), connection)
