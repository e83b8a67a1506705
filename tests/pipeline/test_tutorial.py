"""The tutorial as it is written, on a fresh home with Prefect as it comes: every command runs, and prints what the tutorial says.

In the tutorial a line with ``...`` stands for any lines; identifiers, keys, digests, times and numbers of ledger events stand for those of
the reader's own run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.services import free_port

from prefect_gatehouse.cli.init import default_person

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
STAY = ("prefect server start", "prefect worker start")  # commands with a terminal of their own
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")

pytestmark = pytest.mark.timeout(1500)


@dataclass
class Step:
    """A command of the tutorial, with what it is said to print; no lines where it says nothing."""

    command: str
    said: list[str]


def steps(text: str) -> Iterator[Step]:
    """The commands in the fenced blocks: after a ``$`` with what they print, or whole blocks of commands."""
    for block in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = block.splitlines()
        if not any(line.startswith("$ ") for line in lines):
            yield from (Step(line, []) for line in lines)
            continue
        step: Step | None = None
        for line in lines:
            if line.startswith("$ "):
                if step is not None:
                    yield step
                step = Step(line[2:], [])
            else:
                assert step is not None, f"a block begins with what a command prints: {line}"
                step.said.append(line)
        if step is not None:
            yield step


def general(line: str) -> str:
    """A line with what differs from run to run taken out."""
    for pattern, name in (
        (UUID.pattern, "<id>"),
        (r"SHA256:\S+?(?=[\s)]|$)", "<key>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S*", "<time>"),
        (r"\b(?=\w*\d)[0-9a-f]{8,64}\b", "<hash>"),
        (r"\bin \d+(?:\.\d+)?s(?: \([\d:]+\))?$", "in <n>s"),  # pytest's
        (r"\b\d+\.\d+\b(?!\.)", "<n>"),
        (r"\[\d+\]|\b\d+(?= events)|\b\d+(?= signed heads)", "<n>"),  # the deployed reconcile may seal in between
        (r"\s+", " "),
    ):
        line = re.sub(pattern, name, line)
    return line.strip()


def missing(said: list[str], printed: str) -> str | None:
    """The first line that should have been printed, in this place, and was not."""
    left = [general(line) for line in printed.splitlines() if line.strip()]
    anywhere = False
    for line in said:
        if line.strip() in {"", "..."}:
            anywhere = anywhere or bool(line.strip())
            continue
        wanted = general(line)
        if anywhere:
            while left and left[0] != wanted:
                left.pop(0)
        if not left or left.pop(0) != wanted:
            return line
        anywhere = False
    return None if anywhere or not left else f"(no more, but: {left[0]})"


class Reader:
    """Somebody with terminals who follows the tutorial."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.place = home / "work"
        self.place.mkdir()
        self.port = free_port()
        self.run = ""
        self._written = ""
        self._open: list[subprocess.Popen[bytes]] = []
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEHOUSE_", "PREFECT_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # Another port than the tutorial's, which may be taken; and no telemetry from a test.
        own = {"PREFECT_SERVER_API_PORT": str(self.port), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        self.environment = {**clean, **own, "HOME": str(home), "PATH": path, "PYTHONUNBUFFERED": "1", "COLUMNS": "80"}

    def export(self, assignment: str) -> None:
        name, _, value = assignment.partition("=")
        self.environment[name] = value.replace("$PWD", str(ROOT)).replace("$PATH", self.environment["PATH"]).replace(":4200/", f":{self.port}/")

    def open(self, command: str) -> None:
        """Leaves a command running in a terminal of its own."""
        with (self.home / f"terminal-{len(self._open)}.log").open("wb") as log:
            self._open.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command}"],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        if "server" not in command:
            return
        until = time.monotonic() + 240
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.5)

    def type(self, step: Step) -> tuple[int, str]:
        """Types a command, and the answer that the tutorial shows after its question."""
        command = step.command
        if self._written:
            command = command.replace(self._written, self.run).replace(self._written[:8], self.run[:8])
        typed = "".join(f"{answer}\n" for line in step.said for answer in re.findall(r"\[y/N\]: (\w)$", line))
        after = self.home / "place"
        place = ROOT if "deployments/prefect.yaml" in command else self.place
        done = subprocess.run(
            ["bash", "-c", f"{command}\ncode=$?; pwd > {after}; exit $code"],
            cwd=place,
            env=self.environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        if place is self.place:
            self.place = Path(after.read_text().strip())
        printed = re.sub(r"\[y/N\]: ", f"[y/N]: {typed.strip()}\n", done.stdout)
        printed = printed.replace(str(self.home), "~").replace(default_person(), "you@host")
        if command.startswith("gatehouse run "):
            self.run, self._written = UUID.findall(printed)[0], UUID.findall("\n".join(step.said))[0]
        return done.returncode, printed

    def close(self) -> None:
        for process in reversed(self._open):
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def test_the_tutorial_is_true(tmp_path: Path) -> None:
    """Each command of the tutorial, in order, prints each line that the tutorial shows; at its end the rows are in the database."""
    reader = Reader(tmp_path)
    wrong = []
    try:
        for step in steps(TUTORIAL.read_text()):
            if step.command.startswith("export "):
                reader.export(step.command.removeprefix("export "))
                continue
            if step.command.startswith(STAY):
                reader.open(step.command)
                continue
            code, printed = reader.type(step)
            line = missing(step.said, printed) if step.said else None
            # A command ends well unless the tutorial shows its error.
            fails = any(line.startswith("error:") for line in step.said)
            if line is not None or (code != 0) is not fails:
                wrong.append(f"$ {step.command}\nended with {code}; not printed as written: {line}\n{printed}")
    finally:
        reader.close()
    assert not wrong, "\n".join(wrong)
    import sqlite3

    with sqlite3.connect(reader.place / "results.sqlite") as results:
        assert results.execute("SELECT count(*), count(DISTINCT reading), min(_gatehouse_label) FROM scores").fetchone() == (12, 12, "primary")


def test_the_comparison_tells_what_is_not_so() -> None:
    """A line that is missing, out of place or more than was said is found; what differs from run to run is not."""
    said = ["run ae913798-d6bc-48b7-a554-20e1d90292ee", "...", "12 rows in 1 round", "2 passed in 2.1s"]
    printed = ["run 0b3c9f52-1111-4222-8333-123456789abc", "more", "12 rows  in 1 round", "2 passed in 74.22s (0:01:14)"]
    assert missing(said, "\n".join(printed)) is None
    assert missing(said, "\n".join(printed).replace("12 rows", "11 rows")) == said[2]
    assert missing(said, "\n".join(printed[::-1])) == said[0]
    assert missing(said, "\n".join([*printed, "error: more"])) == "(no more, but: error: more)"
    assert [(step.command, step.said) for step in steps("```\n$ a\nb\n$ c\n```\n\n```\nd\n```\n")] == [("a", ["b"]), ("c", []), ("d", [])]
