"""One emulator for all of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.fixtures import braket, braket_server
from tests.support.braket_desk import BraketDesk

__all__ = ["braket", "braket_server", "desk"]


@pytest.fixture
def desk(tmp_path: Path, braket: BraketEmulator) -> BraketDesk:
    """A run at the machine."""
    return BraketDesk(tmp_path, braket)
