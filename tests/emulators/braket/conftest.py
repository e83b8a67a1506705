"""One emulator for all of these tests, and the SDK's environment."""

from __future__ import annotations

import pytest

from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.fixtures import braket, braket_server

__all__ = ["braket", "braket_server", "environment"]


@pytest.fixture
def environment(braket: BraketEmulator, monkeypatch: pytest.MonkeyPatch) -> BraketEmulator:
    """The SDK finds the emulator where its environment says."""
    for name, value in braket.environment.items():
        monkeypatch.setenv(name, value)
    return braket
