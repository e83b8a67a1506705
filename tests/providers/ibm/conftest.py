"""A run at the emulator's machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_gatehouse.testing import IBMEmulator
from tests.support.ibm_desk import IBMDesk


@pytest.fixture
def desk(tmp_path: Path, ibm: IBMEmulator) -> IBMDesk:
    """A run at the machine."""
    return IBMDesk(tmp_path, ibm)
