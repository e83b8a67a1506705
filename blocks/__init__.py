"""What an operator edits in the Prefect UI: connections and credentials."""

from prefect_gatehouse.blocks.braket_device import BraketDevice
from prefect_gatehouse.blocks.ibm_device import IBMDevice
from prefect_gatehouse.blocks.vault import VaultSecret

__all__ = ["BraketDevice", "IBMDevice", "VaultSecret"]
