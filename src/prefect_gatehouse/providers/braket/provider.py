"""The provider of Amazon Braket: a backend is ``braket/NAME``, where NAME is a block that says which device, region and bucket."""

from __future__ import annotations

from collections.abc import Mapping

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.providers.interface import Backend, Connection, DeviceBlock


def _region(settings: Mapping[str, Json]) -> str:
    """The one that the service is spoken to in; a machine's ARN has no other (``read_place``)."""
    return str(settings.get("region") or "")


class BraketProvider:
    """Devices and managed simulators of Amazon Braket. Its packages are loaded when something is asked, not before."""

    block: DeviceBlock | None = DeviceBlock("braket-device", ("device_arn", "region", "bucket", "prefix", "endpoint"), _region)

    def devices(self) -> tuple[str, ...]:
        """None is known: an administrator's blocks name them."""
        return ()

    def connect(self, device: str, connection: Connection) -> Backend:
        """A device by the settings of its block."""
        from prefect_gatehouse.providers.braket.backend import BraketBackend
        from prefect_gatehouse.providers.braket.place import read_place

        return BraketBackend(f"braket/{device}", read_place(device, connection.settings), connection)
