"""A run on Aer or on Braket knows nothing of IBM, and without its package a backend of IBM's is one clear error."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys, tempfile, pathlib
from prefect_gatehouse.providers.registry import backend_names, block_of, is_installed
from tests.providers.circuits import Desk, flipped
assert "aer" in backend_names() and is_installed("ibm/torino")
assert block_of("ibm/torino") == ("ibm-device/torino", ("device", "instance", "plan", "endpoint"))
assert Desk(pathlib.Path(tempfile.mkdtemp()), "aer").run(flipped(2, 0)) == ({"01": 100},)
import prefect_gatehouse.providers.braket.backend, prefect_gatehouse.testing, prefect_gatehouse.providers.ibm.place
print(sorted(name for name in sys.modules if name.split(".")[0] in {"qiskit_ibm_runtime", "ibm_cloud_sdk_core", "ibm_platform_services"}))
"""

_WITHOUT = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "qiskit_ibm_runtime" else real(name, package)
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.interface import Connection
from prefect_gatehouse.providers.registry import connect
try:
    connect("ibm/torino", Connection(None, None, {"device": "ibm_torino", "instance": sys.argv[1]}))
except InputError as error:
    print(error)
"""


def _run(script: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script, *words], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_aer_imports_no_package_of_ibm() -> None:
    """Listing the backends, naming a device of IBM's, running circuits on Aer, even our Braket backend: none is loaded."""
    assert _run(_SCRIPT) == "[]"


def test_without_the_extra() -> None:
    """What to install, before anything is asked."""
    crn = "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789abcdef0123456789abcdef:00000000-0000-4000-8000-000000000000::"
    assert _run(_WITHOUT, crn) == 'ibm/torino: qiskit-ibm-runtime is not installed (install "prefect-gatehouse[ibm]")'
