"""``gatehouse emulator``: what it prints sends a provider's SDK there, and Ctrl-C ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest


def _start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "prefect_gatehouse.cli.main", "emulator", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


BRAKET = "import boto3; print(boto3.client('braket').search_devices(filters=[])['devices'][0]['deviceName'])"
IBM = "from qiskit_ibm_runtime import QiskitRuntimeService as S; print(S().backends()[0].name)"


@pytest.mark.parametrize(("provider", "code", "name"), [("braket", BRAKET, "Garnet"), ("ibm", IBM, "ibm_torino")], ids=["braket", "ibm"])
def test_a_shell_takes_its_lines_and_ctrl_c_ends_it(provider: str, code: str, name: str) -> None:
    """Six lines to export, an answer in another process whose only knowledge they are, no word on stderr, exit code 0."""
    with _start(provider) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            lines = [process.stdout.readline() for _ in range(6)]
            assert all(line.startswith("export ") for line in lines)
            environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "QISKIT_", "IAM_", "GLOBAL_"))}
            shell = f'{"".join(lines)}{sys.executable} -W ignore -c "{code}"'
            done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, env=environment, check=False, timeout=60)
            assert done.stdout == f"{name}\n", done.stderr
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0 and process.stderr.read() == ""
        finally:
            process.kill()


@pytest.mark.parametrize("provider", ["braket", "ibm"])
def test_a_port_that_is_taken(provider: str) -> None:
    """One clear error, as JSON where asked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with _start(provider, "--json", "--port", str(taken.getsockname()[1])) as process:
            told, _ = process.communicate(timeout=60)
            assert process.returncode == 2 and "use another port" in json.loads(told.splitlines()[-1])["advice"]
