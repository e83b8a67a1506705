"""A run on Aer knows nothing of Braket."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys, tempfile, pathlib
from prefect_gatehouse.providers.registry import backend_names, connect, is_installed
from prefect_gatehouse.providers.interface import Connection
from prefect_gatehouse.store.run_keys import RunKeys
from tests.providers.circuits import Desk, flipped
assert "aer" in backend_names()
assert Desk(pathlib.Path(tempfile.mkdtemp()), "aer").run(flipped(2, 0)) == ({"01": 100},)
import prefect_gatehouse.providers.braket.provider, prefect_gatehouse.testing
print(sorted(name for name in sys.modules if name.split(".")[0] in {"braket", "boto3", "botocore", "moto", "pytest"}))
"""


def test_aer_imports_no_braket_package() -> None:
    """Listing the backends, running circuits on Aer, even naming our own provider: no package of Amazon's is loaded."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
