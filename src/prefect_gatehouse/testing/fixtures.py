"""Fixtures of pytest: ``pytest_plugins = ["prefect_gatehouse.testing.fixtures"]`` in a ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prefect_gatehouse.testing.braket import BraketEmulator, braket_emulator
from prefect_gatehouse.testing.ibm import IBMEmulator, ibm_emulator


@pytest.fixture(scope="session")
def braket_server() -> Iterator[BraketEmulator]:
    """One emulator of Amazon Braket for the whole session, without noise."""
    with braket_emulator(noise=False) as running:
        yield running


@pytest.fixture
def braket(braket_server: BraketEmulator) -> BraketEmulator:
    """The session's emulator with nothing in it but its buckets."""
    braket_server.reset()
    return braket_server


@pytest.fixture(scope="session")
def ibm_server() -> Iterator[IBMEmulator]:
    """One emulator of IBM Quantum for the whole session, without noise."""
    with ibm_emulator(noise=False) as running:
        yield running


@pytest.fixture
def ibm(ibm_server: IBMEmulator) -> IBMEmulator:
    """The session's emulator with nothing in it."""
    ibm_server.reset()
    return ibm_server
