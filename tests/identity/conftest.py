"""Keys that ssh-keygen made."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.identity.ssh_signatures import KINDS, keygen


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key of each kind, made by ssh-keygen."""
    folder = tmp_path_factory.mktemp("ssh-keys")
    for name, (kind, bits) in KINDS.items():
        made = keygen("-q", "-t", kind, *(() if bits == "0" else ("-b", bits)), "-N", "", "-C", f"{name} comment", "-f", str(folder / name))
        assert made.returncode == 0, made.stderr
    return folder
