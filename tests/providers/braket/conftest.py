"""A run at the emulator's machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_gatehouse.testing import BraketEmulator
from tests.support.braket_desk import BraketDesk


@pytest.fixture
def desk(tmp_path: Path, braket: BraketEmulator) -> BraketDesk:
    """A run at the machine."""
    return BraketDesk(tmp_path, braket)
