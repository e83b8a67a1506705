"""The end of `gatehouse demo --ui`: the page of the run stays until Ctrl-C, and Ctrl-C is no error; codes end with the decision."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from prefect_gatehouse.cli import demo_ui
from prefect_gatehouse.settings import Settings

RUN = "0123abcd-0000-4000-8000-000000000000"
STAYING = """
import sys
from pathlib import Path
from prefect_gatehouse.cli.demo_ui import stay
from prefect_gatehouse.settings import Settings
stay(Settings(home=Path(sys.argv[1])), sys.argv[2], lambda text: print(text, flush=True))
print("left", flush=True)
"""


def test_it_stays_until_it_is_told_to_go(tmp_path: Path) -> None:
    """It names the page and the command that shows the run, says how to leave, and leaves well on Ctrl-C."""
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:4321/api"}
    child = subprocess.Popen([sys.executable, "-c", STAYING, str(tmp_path), RUN], env=environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(4)]
    assert f"http://127.0.0.1:4321/v2/runs/flow-run/{RUN}\n" in said[1]
    assert f"GATEHOUSE_HOME={tmp_path}" in said[2] and said[2].endswith(f"gatehouse show {RUN}\n")
    assert "until you press Ctrl-C" in said[3]
    time.sleep(1)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    assert (child.stdout.read(), child.wait(30)) == ("left\n", 0)
    child.stdout.close()


def test_codes_end_with_the_decision(capsys: pytest.CaptureFixture[str]) -> None:
    """The authenticator's codes are printed while somebody may need one, and not into the summary."""
    decided = threading.Event()
    printer = threading.Thread(target=demo_ui._print_codes, args=(base64.b32encode(b"x" * 20).decode(), "ann", decided, False))
    printer.start()
    time.sleep(0.3)
    decided.set()
    printer.join(10)
    assert not printer.is_alive()
    assert "one-time code of ann: " in capsys.readouterr().out


def test_the_command_names_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is whole: the demo's home and, where the command is not on the path, its place."""
    settings = Settings(home=tmp_path)
    monkeypatch.setattr(demo_ui.shutil, "which", lambda _: "/usr/bin/gatehouse")
    assert demo_ui.command_line(settings, A="b") == f"A=b GATEHOUSE_HOME={tmp_path} gatehouse"
