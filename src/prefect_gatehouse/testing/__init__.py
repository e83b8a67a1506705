"""What users' own tests and outage drills need: the emulators as context managers, and as fixtures of pytest (``testing/fixtures.py``)."""

from prefect_gatehouse.testing.braket import BraketEmulator, braket_emulator
from prefect_gatehouse.testing.ibm import IBMEmulator, ibm_emulator

__all__ = ["BraketEmulator", "IBMEmulator", "braket_emulator", "ibm_emulator"]
