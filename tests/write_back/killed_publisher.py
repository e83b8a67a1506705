"""Publishes again and again into fresh databases, each time killed one SQL statement later, then repeats: one JSON line for each.

Reads one JSON object on standard input: {"urls": [...], "mode": ...}; the n-th address is for the kill before the n-th statement.
Ends when a publication was through before its kill came.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import sqlalchemy as sa

from tests.write_back.databases import Database, frame, publish


def _child(url: str, mode: str, fatal: int) -> None:
    seen = 0

    def count(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    sa.event.listen(sa.Engine, "commit", count)
    publish(url, frame("bcd", 10), mode=mode)


def main() -> None:
    order = json.loads(sys.stdin.read())
    for fatal, url in enumerate(order["urls"], 1):
        database = Database(url, "")
        child = os.fork()
        if child == 0:
            try:
                _child(url, order["mode"], fatal)
            finally:
                os._exit(0)
        _, raw = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(raw)
        left = sorted(database.staging())
        before = database.rows()
        again = publish(url, frame("bcd", 10), mode=order["mode"])
        told = {
            "fatal": fatal,
            "killed": killed,
            "left": left,
            "before": before,
            "repeated": again.repeated,
            "rows": database.rows(),
            "staging": sorted(database.staging()),
            "receipts": database.receipts(),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        if not killed:
            return


if __name__ == "__main__":
    main()
