"""What stands in the log of a server or a worker that nobody knows: a record of an error, or a traceback."""

from __future__ import annotations

import re
from pathlib import Path

_BEGIN = re.compile(r"^(?:\d\d:\d\d:\d\d\.\d+ \| (?P<level>[A-Z]+) *\||(?P<uvicorn>[A-Z]+): {4,})")

KNOWN = {
    # A gate's failed state, as a task: the message is ours, one sentence, and the run says what became of it.
    r"Task run '[\w ]+' - (?:Task run failed with state: Failed\(message=|Finished in state Failed\()(?!.*Traceback)": "a gate said no or failed",
    r"services\.task_run_recorder - Error flushing \d+ events \(\d+ to retry, 0 dropped\).*database is locked": "a busy machine; tried again",
    # Prefect leaves out the events that it has, and writes what is left, if nothing is, as one row of nothing.
    r"services\.event_persister - Max flush retries .*\n.*NOT NULL constraint failed: events\.occurred": "a client sent again what the server had",
}
"""Errors that belong to what is tested, each with the reason why it is right that it is logged."""

# Prefect's recorder tries six times to write a task of a run that is not there, and gives up.
DELETED = {
    r"(?:services\.task_run_recorder|messaging\.memory) - .*IntegrityError.*FOREIGN KEY constraint failed.*INSERT INTO task_run ": "as below",
    r"prefect\.engine - Execution of flow run .*ObjectNotFound": "a test deleted a run whose process was about to say how it ended",
    r"services\.task_run_recorder - Dropping event \S+ after \d+ failed attempts": "a test deleted a run whose process still told of its tasks",
}
"""Errors of a session whose tests delete runs in Prefect."""

ENDED_ITSELF = {r"flow_run_executor - Process exited with status code: 9\b": "a test's workload calls os._exit(9)"}
"""Errors of a session with a workload that ends its process."""

TOLD_TO_STOP = {
    r"(?:Crash detected! |Crashed\(.)Execution was aborted by a termination signal": "a test stopped or killed a worker, its runs were told to stop",
    r"\nprefect\.exceptions\.TerminationSignal$": "a library says what the signal met it at, here closing a file, and raises it again",
    r"Task exception was never retrieved.*WorkerChannelConnection\._receive_loop\(\).*WebSocketDisconnect": "a worker was stopped at once",
}
"""Errors of a session whose tests stop a worker."""


def records(log: Path) -> list[tuple[str, str]]:
    """The records of a log: level and whole text, with the lines that follow its first."""
    found: list[tuple[str, list[str]]] = []
    for line in log.read_text(errors="replace").splitlines():
        begin = _BEGIN.match(line)
        if begin:
            found.append((begin["level"] or begin["uvicorn"], [line]))
        elif found and line.strip():
            found[-1][1].append(line)
        elif line.startswith("Traceback"):
            found.append(("", [line]))
    return [(level, "\n".join(lines)) for level, lines in found]


def unknown_errors(folder: Path, known: dict[str, str] | None = None) -> list[str]:
    """Records of the ``*.log`` files in a folder that tell of an error or hold a traceback, and that are not known.

    Args:
        folder: Where the logs are.
        known: Patterns of errors that belong to this test, beside those that belong to all, each with its reason.
    """
    patterns = [re.compile(pattern, re.DOTALL) for pattern in {**KNOWN, **(known or {})}]
    found = []
    for log in sorted(folder.glob("*.log")):
        for level, text in records(log):
            bad = level in {"ERROR", "CRITICAL"} or "Traceback (most recent call last)" in text
            if bad and not any(pattern.search(text) for pattern in patterns):
                found.append(f"{log.name}: {text[:1500]}{' ... ' + text[-700:] if len(text) > 2200 else text[1500:]}")
    return found
