"""The reader of logs finds an error that nobody knows, wherever it stands, and lets the known ones pass."""

from __future__ import annotations

from pathlib import Path

from tests.support.logs import TOLD_TO_STOP, unknown_errors

FINE = """ ___ ___
Configure Prefect to communicate with the server with:

12:00:00.000 | INFO    | prefect.flow_runs.worker - Flow run 'a' submitted to infrastructure
INFO:     Uvicorn running
12:00:01.000 | ERROR   | Task run 'minimise' - Task run failed with state: Failed(message='the smallest group has 10 rows', type=FAILED)
12:00:02.000 | ERROR   | Task run 'collect 1' - Finished in state Failed('the backend is away')
"""
SCHEDULER = """12:00:03.000 | ERROR   | prefect.server.services.scheduler - Unexpected error: InvalidRequestError("Can't evaluate bulk DML")
Traceback (most recent call last):
  File "scheduler.py", line 1, in _insert_scheduled_flow_runs
sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement
"""
HIDDEN = """12:00:04.000 | INFO    | prefect - all is well
Traceback (most recent call last):
  File "x.py", line 1, in x
KeyError: 'x'
"""


def test_known_lines_pass(tmp_path: Path) -> None:
    """A gate that said no is in the worker's log by right."""
    (tmp_path / "worker.log").write_text(FINE)
    assert unknown_errors(tmp_path) == []


def test_an_unknown_error_is_found_with_its_end(tmp_path: Path) -> None:
    """The scheduler that failed every minute would have been: by its level, with the traceback's last line; also one without a level."""
    (tmp_path / "server.log").write_text(FINE + SCHEDULER + HIDDEN)
    first, second = unknown_errors(tmp_path)
    assert first.startswith("server.log") and "bulk DML" in first
    assert "KeyError" in second
    assert len(unknown_errors(tmp_path, {"bulk DML": "a test says why"})) == 1


def test_a_traceback_of_a_gate_is_not_known(tmp_path: Path) -> None:
    """What a gate says is one sentence: with a traceback below it, it is an error that nobody knows."""
    told = "12:00:01.000 | ERROR   | Task run 'plan' - Task run failed with state: Failed(message='x', type=FAILED)\n"
    (tmp_path / "worker.log").write_text(told + 'Traceback (most recent call last):\n  File "x.py"\nValueError: x\n')
    assert len(unknown_errors(tmp_path)) == 1


SENT_AGAIN = """12:00:06.000 | ERROR   | prefect.server.events.services.event_persister - Max flush retries (5) reached, dropping 44 events
Traceback (most recent call last):
  File "base.py", line 2000, in _exec_single_context
sqlalchemy.exc.IntegrityError: (sqlite3.IntegrityError) NOT NULL constraint failed: events.occurred
[SQL: INSERT INTO events (related_resource_ids, related, id) VALUES (:related_resource_ids, :related, :id)]
"""


def test_events_that_the_server_has_already(tmp_path: Path) -> None:
    """Their row of nothing is Prefect's own; events that are dropped for anything else are not known."""
    log = tmp_path / "server.log"
    log.write_text(FINE + SENT_AGAIN)
    assert unknown_errors(tmp_path) == []
    log.write_text(FINE + SENT_AGAIN.replace("NOT NULL constraint failed: events.occurred", "database or disk is full"))
    assert len(unknown_errors(tmp_path)) == 1


STOPPED = """12:00:05.000 | ERROR   | sqlalchemy.pool.impl.QueuePool - Exception closing connection <sqlite3.Connection object at 0x7f>
Traceback (most recent call last):
  File "base.py", line 375, in _close_connection
prefect.exceptions.TerminationSignal
"""


def test_what_the_signal_to_stop_met_is_known_where_something_is_stopped(tmp_path: Path) -> None:
    """A library that says where the signal met it raises it again; where the traceback ends in anything else, nobody knows it."""
    log = tmp_path / "worker.log"
    log.write_text(STOPPED)
    assert unknown_errors(tmp_path, TOLD_TO_STOP) == []
    assert len(unknown_errors(tmp_path)) == 1
    log.write_text(STOPPED + "\nDuring handling of the above exception, another exception occurred:\n\nValueError: x\n")
    assert len(unknown_errors(tmp_path, TOLD_TO_STOP)) == 1
