"""``gatehouse emulator braket``: what it prints sends boto3 there, and Ctrl-C ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys


def _start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "prefect_gatehouse.cli.main", "emulator", "braket", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


def test_a_shell_takes_its_lines_and_ctrl_c_ends_it() -> None:
    """Six lines to export, an answer in another process whose only knowledge they are, no word on stderr, exit code 0."""
    with _start() as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            lines = [process.stdout.readline() for _ in range(6)]
            assert all(line.startswith("export AWS_") for line in lines)
            code = "import boto3; print(boto3.client('braket').search_devices(filters=[])['devices'][0]['deviceName'])"
            environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            shell = f'{"".join(lines)}{sys.executable} -c "{code}"'
            done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, env=environment, check=False, timeout=60)
            assert done.stdout == "Garnet\n", done.stderr
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0 and process.stderr.read() == ""
        finally:
            process.kill()


def test_a_port_that_is_taken() -> None:
    """One clear error, as JSON where asked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with _start("--json", "--port", str(taken.getsockname()[1])) as process:
            told, _ = process.communicate(timeout=60)
            assert process.returncode == 2 and "use another port" in json.loads(told.splitlines()[-1])["advice"]
