"""``gatehouse demo`` as a user starts it: what it prints works, its server schedules the sweeper, and its logs hold no unknown error."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.support.logs import TOLD_TO_STOP, unknown_errors

pytestmark = pytest.mark.timeout(900)

SCRIPTS = Path(sys.executable).parent


class Terminal:
    """A command in a terminal of its own, and what it has printed so far."""

    def __init__(self, home: Path, *words: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "GATEHOUSE_"))}
        self.environment = {**clean, "HOME": str(home), "GATEHOUSE_HOME": str(home / "gatehouse"), "PATH": f"{SCRIPTS}:{clean['PATH']}"}
        self.process = subprocess.Popen(
            ["gatehouse", *words], env=self.environment, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.printed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line

    def wait_for(self, words: str, seconds: float = 400) -> str:
        """Until it has printed something; gives all that it has printed."""
        until = time.monotonic() + seconds
        while words not in self.printed:
            assert time.monotonic() < until and self.process.poll() is None, self.printed
            time.sleep(0.2)
        return self.printed

    def close(self) -> int:
        """Ctrl-C, if it has not ended by itself; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(90)
        finally:
            self.process.kill()
            self._reader.join(10)
            assert self.process.stdout is not None
            self.process.stdout.close()


def test_the_demo_as_a_user_starts_it(tmp_path: Path) -> None:
    """Approved by the command that it prints; meanwhile its own scheduler has made the sweeper's runs; nothing unknown is in its logs."""
    demo = Terminal(tmp_path, "demo", "--ui")
    try:
        printed = demo.wait_for("3. By REST")
        (approve,) = re.findall(r"^ *(PREFECT_API_URL=\S+ .* gatehouse approve \S+)$", printed, re.MULTILINE)
        api = re.findall(r"PREFECT_API_URL=(\S+)", approve)[0]
        made, until = [], time.monotonic() + 90
        while not made and time.monotonic() < until:
            named = {"deployments": {"name": {"any_": ["clean-up"]}}}
            made = [run for run in httpx.post(f"{api}/flow_runs/filter", json=named, timeout=30).json() if run["auto_scheduled"]]
            time.sleep(0.5)
        assert made and made[0]["state_name"] == "Scheduled", made
        done = subprocess.run(approve, shell=True, env=demo.environment, cwd=tmp_path, input="y\n", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        demo.wait_for("demo: ok")
    finally:
        demo.close()
    assert demo.process.returncode in {0, 130}, demo.printed
    assert "Traceback" not in demo.printed
    logs = tmp_path / "gatehouse" / "demo" / "logs"
    assert {"server.log", "worker.log"} <= {log.name for log in logs.iterdir()}
    assert unknown_errors(logs, TOLD_TO_STOP) == []  # Ctrl-C may meet the hourly clean-up, which is told to stop
