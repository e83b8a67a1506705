"""A process that lives for one run: when it looks for garbage, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import time

ENDS = """
import atexit, concurrent.futures, sys, threading, time
from prefect_gatehouse.run_process import end_process
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
pool = concurrent.futures.ThreadPoolExecutor(1)
pool.submit(lambda: (time.sleep(0.3), print("sent")))
atexit.register(print, "registered")
print("begun")
try:
    end_process(3)
finally:
    print("unwound")
"""
RARELY = """
import gc
from prefect_gatehouse.run_process import look_rarely
gc.collect()
look_rarely()
looks = []
gc.callbacks.append(lambda phase, info: looks.append(info["generation"]) if phase == "start" else None)
kept = [[each] for each in range(200_000)]
print(gc.get_freeze_count() > 1000, len(looks) < 20, 2 not in looks)
"""


def said(script: str, code: int) -> list[str]:
    """What a script writes that ends with a code."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout.split()


def test_it_ends_when_what_is_to_be_done_is_done() -> None:
    """Work that others wait for and what is registered to run at the end are done; a thread that sleeps is nobody's concern."""
    began = time.monotonic()
    assert said(ENDS, 3) == ["begun", "sent", "registered"]
    assert time.monotonic() - began < 30


def test_it_looks_rarely_for_garbage() -> None:
    assert said(RARELY, 0) == ["True", "True", "True"]
