"""The provider of the simulators on this machine: no account, no network, no bill."""

from __future__ import annotations

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.interface import Backend, Connection

_DEVICES = ("aer", "braket-local")


class SimulatorProvider:
    """Simulators that run in this process; their jobs outlive it."""

    block = None

    def devices(self) -> tuple[str, ...]:
        """Both."""
        return _DEVICES

    def connect(self, device: str, connection: Connection) -> Backend:
        """A simulator whose jobs are kept in the connection's folder."""
        if device == "aer":
            from prefect_gatehouse.providers.simulator.aer import AerBackend

            return AerBackend(connection)
        if device == "braket-local":
            from prefect_gatehouse.providers.simulator.braket_local import BraketLocalBackend

            return BraketLocalBackend(connection)
        raise InputError(f"there is no backend {device}", where="execution.backends", advice=f"installed are {', '.join(_DEVICES)}")
