"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_for(met: Callable[[], Any], seconds: float = 90, *, every: float = 0.1) -> Any:
    """Until something is so; gives it."""
    until = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < until, f"not so within {seconds:.0f} s"
        time.sleep(every)
    return found
